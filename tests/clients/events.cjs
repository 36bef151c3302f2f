// Prints every event that npm's EventSource receives, one JSON line each, as soon as it comes.
// node events.cjs FOLDER_WITH_NODE_MODULES URL
const { createRequire } = require("node:module");
const { EventSource } = createRequire(`${process.argv[2]}/`)("eventsource");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const source = new EventSource(process.argv[3]);
const tell = ({ type, data, lastEventId }) => say({ type, data, id: lastEventId });

source.onopen = () => say({ type: "open" });
source.onmessage = tell;
source.addEventListener("price", tell);
source.onerror = ({ code, message }) => say({ type: "error", code, message });
process.stdin.on("end", () => process.exit(0)).resume(); // ends when the test does
