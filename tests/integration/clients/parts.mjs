// Parts that the programs of npm's packages share; as parts.py.
import { readFileSync } from "node:fs";

export const URL = process.env.FLOTILLA_URL;
export const KEY = process.env.FLOTILLA_KEY;
export const MODEL = "caller"; // calls a tool where there is one: ../reciter.py
export const VECTORS = "tiny";
export const QUESTION = "What is the weather in Paris?";
export const ASKED = [{ role: "user", content: QUESTION }];
export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: CITY,
  },
};
export const IMAGE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/" +
  "iZk9HQAAAABJRU5ErkJggg==";

export function check(is, seen) {
  if (!is) throw new Error("seen: " + JSON.stringify(seen));
}

export function same(seen, wanted) {
  check(JSON.stringify(seen) === JSON.stringify(wanted), [seen, wanted]);
}

// Arguments, parsed, are as the schema says.
export function isCity(args) {
  same(Object.keys(args), ["city"]);
  check(typeof args.city === "string" && args.city !== "", args);
}

// Asking throws the client's own error of this status, with these words.
export async function refused(status, words, ask) {
  let error;
  try {
    await ask();
  } catch (thrown) {
    error = thrown;
  }
  check(error !== undefined, "it was answered");
  same(error.statusCode ?? error.status ?? error.status_code, status);
  check(error.message.includes(words), error.message);
}

export async function all(pieces) {
  const list = [];
  for await (const piece of pieces) list.push(piece);
  return list;
}

function tell(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

// Each call is a row of the table in calls.py, of the same name.
export async function main(packages, calls) {
  const versions = {};
  for (const name of packages) {
    const file = process.env.FLOTILLA_MODULES + "/" + name + "/package.json";
    versions[name] = JSON.parse(readFileSync(file)).version;
  }
  tell({ versions });
  const wanted = process.argv.slice(2);
  for (const name of wanted.length ? wanted : Object.keys(calls)) {
    let error = null;
    try {
      await calls[name]();
    } catch (thrown) {
      error = String(thrown.stack ?? thrown);
    }
    tell({ call: name, error });
  }
  process.exit(0);
}
