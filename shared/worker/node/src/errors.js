export class Failure extends Error {
  retryable = true;

  constructor(message = "", { type, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.type = type;
  }
}

export class Permanent extends Failure {
  retryable = false;
}

export class RetryAfter extends Failure {
  constructor(seconds, message = "", options = {}) {
    super(message, options);
    this.seconds = Math.max(Number(seconds), 0);
  }
}

export class BadEvent extends Error {
  constructor(field, reason) {
    super(`${field}: ${reason}`);
    this.name = "BadEvent";
    this.field = field;
    this.reason = reason;
  }
}

export class CompletionError extends Error {
  constructor(message, cause) {
    super(message, { cause });
    this.name = "CompletionError";
  }
}

const MOST_MESSAGE = 2048; // bytes of a failure's message
const MOST_TYPE = 128;

/** Returns the `error` of a completion. */
export function described(error) {
  return { type: clip(kindOf(error), MOST_TYPE), message: clip(messageOf(error), MOST_MESSAGE) };
}

/** Returns the most specific name of what was thrown. The AWS SDK names its errors by their codes. */
export function kindOf(error) {
  if (error instanceof Failure) {
    if (error.type) return error.type;
    if (error.cause !== undefined) return kindOf(error.cause);
  }
  if (error?.name === "AbortError" || error?.name === "TimeoutError") return "Timeout";
  return error?.name || error?.constructor?.name || "Error";
}

function messageOf(error) {
  const text = error instanceof Error ? error.message || (error.cause instanceof Error ? error.cause.message : "") : String(error);
  return text || kindOf(error);
}

/** Cuts a text that is longer than limit bytes, between two characters, and adds a note. */
export function clip(text, limit) {
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return bytes.toString();
  const note = `… (${bytes.length} bytes in all)`;
  let end = Math.max(limit - Buffer.byteLength(note), 0);
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--; // within a character
  return bytes.subarray(0, end).toString() + note;
}
