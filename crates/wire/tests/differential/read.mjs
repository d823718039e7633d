// Reads bodies, one line of hexadecimal digits each, and tells the fields that are named as arguments.
import { readFileSync } from "node:fs";

const fields = process.argv.slice(2);
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function shown(value) {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  if (typeof value === "boolean") return `flag ${value}`;
  if (typeof value === "string") return `text ${value}`;
  if (typeof value === "number" && value > 2 ** 53) return "number beyond";
  if (typeof value === "number") return `number ${value}`;
  return "nested";
}

function byCodePoint(a, b) {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function read(body) {
  let members;
  try {
    members = JSON.parse(decoder.decode(body));
  } catch {
    return null;
  }
  if (members === null || typeof members !== "object" || Array.isArray(members)) return null;
  const own = (field) => (Object.hasOwn(members, field) ? members[field] : undefined);
  return {
    values: Object.fromEntries(fields.map((field) => [field, shown(own(field))])),
    keys: Object.keys(members).sort(byCodePoint),
  };
}

const lines = readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
console.log(lines.map((line) => JSON.stringify(read(Buffer.from(line, "hex")))).join("\n"));
