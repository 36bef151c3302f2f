"""Settings: the file becomes a valid model, and the model a snapshot ready to serve.

`validate.validate(data, source, environment)` reads, checks and reports (`errors.ConfigError`
holds every problem); `compile.compile(settings, draft, ...)` builds. Inside: `load` knows
YAML, `inherit` who passes what on, `schema` the keys, `meaning` what they mean together.
"""
