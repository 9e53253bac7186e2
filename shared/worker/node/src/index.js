export { BadEvent, CompletionError, Failure, Permanent, RetryAfter } from "./errors.js";
export { parseTask } from "./task.js";
export { worker } from "./worker.js";
