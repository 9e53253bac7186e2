import { Failure, Permanent, RetryAfter, described } from "./errors.js";

export const VERSION = 1;
const MOST_RESULT = 256 << 10; // bytes of JSON: result, stats and payload share an item of 400 KB
const MOST_STATS = 16 << 10;

// SQS refuses these two characters. JSON.stringify escapes control characters and halves of surrogate pairs.
const escaped = (text) => text.replace(/[\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);

/** Returns the JSON of a value, or undefined for none. It throws where JSON.stringify would write null for a number. */
function encode(value) {
  const text = JSON.stringify(value, (_, v) => {
    if (typeof v === "number" && !Number.isFinite(v)) throw new TypeError(`JSON has no ${v}`);
    return v;
  });
  return text === undefined ? undefined : escaped(text);
}

export function message(task, status, rest = {}) {
  return encode({ version: VERSION, task_id: task.id, attempt: task.attempt, status, ...rest });
}

/** Returns the message of a success. It throws a Permanent if the result cannot be sent at all. */
export function completed(task, result, stats) {
  const rest = {};
  for (const [name, value, most] of [["result", result, MOST_RESULT], ["stats", Object.keys(stats).length ? stats : undefined, MOST_STATS]]) {
    if (value === undefined || value === null) continue;
    let text;
    try {
      text = encode(value);
    } catch (error) {
      throw new Permanent(`${name} cannot be encoded as JSON: ${error.message}`, { type: "BadResult" });
    }
    if (text === undefined) continue;
    const size = Buffer.byteLength(text);
    if (size > most) {
      throw new Permanent(`${name} of ${size} bytes is over the limit of ${most}: store it, in S3 for instance, and return its key`, { type: "ResultTooLarge" });
    }
    rest[name] = value;
  }
  return message(task, "completed", rest);
}

/** Returns the message of a failure. It omits stats that cannot be sent, because they must not hide why the run failed. */
export function failed(task, error, stats) {
  const rest = { error: described(error), retryable: error instanceof Failure ? error.retryable : true };
  if (error instanceof RetryAfter) rest.retry_after = `${error.seconds}s`;
  if (Object.keys(stats).length) {
    try {
      if (Buffer.byteLength(encode(stats)) <= MOST_STATS) rest.stats = stats;
    } catch {
      // they are no JSON
    }
  }
  return message(task, "failed", rest);
}
