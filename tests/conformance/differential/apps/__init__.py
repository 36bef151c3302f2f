"""Three small servers that say what they understood, and `report`, which says it for them."""
