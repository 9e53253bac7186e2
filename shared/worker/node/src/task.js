import { BadEvent } from "./errors.js";
import { VERSION } from "./message.js";

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const MOMENT = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

export function parseTask(event) {
  if (typeof event === "string") {
    try {
      event = JSON.parse(event);
    } catch {
      throw new BadEvent("event", "is not one JSON document");
    }
  }
  if (!isObject(event)) throw new BadEvent("event", "is not a JSON object");
  const { drover, task_id: outer, ...payload } = event;
  if (drover === undefined) throw new BadEvent("drover", "is missing; Drover did not send this event");
  if (!isObject(drover)) throw new BadEvent("drover", "is not a JSON object");
  if (drover.version !== VERSION) throw new BadEvent("drover.version", `is ${JSON.stringify(drover.version)}; this worker knows version ${VERSION}`);
  const id = text(drover, "task_id", true);
  if (outer !== undefined && outer !== id) {
    if (typeof outer !== "string") throw new BadEvent("task_id", "is not a string");
    throw new BadEvent("task_id", `is ${JSON.stringify(outer)}, but drover.task_id is ${JSON.stringify(id)}; want the same id`);
  }
  const { attempt } = drover;
  if (!Number.isInteger(attempt) || attempt < 1) throw new BadEvent("drover.attempt", `is ${JSON.stringify(attempt)}; attempts count from 1`);
  const traced = typeof drover.traceparent === "string" && TRACEPARENT.test(drover.traceparent);
  return {
    id, attempt, payload, jobId: text(drover, "job_id"), labourerId: text(drover, "labourer_id"), completionsUrl: text(drover, "completions_url", true),
    deadline: moment(drover.deadline), soswTaskId: text(drover, "sosw_task_id"), traceparent: traced ? drover.traceparent : "",
    tracestate: traced && typeof drover.tracestate === "string" ? drover.tracestate : "",
  };
}

function text(drover, name, required = false) {
  const value = drover[name] ?? "";
  if (typeof value !== "string") throw new BadEvent(`drover.${name}`, "is not a string");
  if (required && !value) throw new BadEvent(`drover.${name}`, "is missing");
  return value;
}

function moment(value) {
  const at = typeof value === "string" && MOMENT.test(value) ? new Date(value) : new Date(NaN);
  if (Number.isNaN(at.getTime())) throw new BadEvent("drover.deadline", `is ${JSON.stringify(value)}; want a time such as 2026-11-22T08:00:00Z`);
  return at;
}
