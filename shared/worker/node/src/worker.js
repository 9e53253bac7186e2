import { BadEvent, CompletionError, Failure, Permanent, kindOf } from "./errors.js";
import { completed, failed, message } from "./message.js";
import { poll } from "./poll.js";
import { final, ofContents, sentAt, sqs } from "./sqs.js";
import { parseTask } from "./task.js";

const MARGIN = 2000; // milliseconds that a run keeps for its report, but at most a tenth of it
const SEND_TRIES = 7;
const SEND_TIME = 45_000;
const MOST_TIMER = 2 ** 31 - 1;

export const pause = (milliseconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/** Returns the wait after a failed try, in milliseconds: it doubles up to 10 s, and its upper half is random. */
export function backoff(tries) {
  const whole = Math.min(200 * 2 ** Math.min(tries - 1, 16), 10_000);
  return whole / 2 + (Math.random() * whole) / 2;
}

export function worker(run, options = {}) {
  const self = new Runner(run, options);
  const handler = (event, context) => self.handle(event, context);
  handler.poll = (url, pollOptions = {}) => poll(self, url, pollOptions);
  return handler;
}

/** Calls the user's function for tasks, and reports how each run ended. */
export class Runner {
  constructor(run, { heartbeat, timeout, now = Date.now, queue = sqs, log = console.log, wait = backoff } = {}) {
    Object.assign(this, { run, heartbeat, timeout, now, queue, log, wait });
  }

  async handle(event, context) {
    if (isBatch(event)) return this.batch(event.Records, context);
    const text = await this.perform(parseTask(event), context);
    return JSON.parse(text);
  }

  async batch(records, context) {
    const again = [];
    let blocked = false;
    for (const record of records) {
      if (blocked || !(await this.record(record, context))) {
        again.push({ itemIdentifier: record.messageId });
        // In a FIFO queue, the messages behind a redelivered one must be redelivered too.
        blocked = String(record.eventSourceARN ?? "").endsWith(".fifo");
      }
    }
    return { batchItemFailures: again };
  }

  async record(record, context) {
    if (context && context.getRemainingTimeInMillis() <= 0) return false;
    try {
      await this.perform(parseTask(record.body), context, sentAt(record.attributes?.SentTimestamp));
      return true;
    } catch (error) {
      if (!(error instanceof BadEvent || error instanceof CompletionError)) throw error;
      this.log(`message ${record.messageId} is redelivered: ${error.name}`);
      return false;
    }
  }

  async perform(given, context, sent) {
    const attempt = await this.begin(given, context, sent);
    try {
      const end = await this.call(attempt);
      return await this.report(attempt.task, end);
    } finally {
      attempt.stop();
    }
  }

  /** Starts the clock of a run. If the task's message waited for more than half of the task's time, a heartbeat asks for its whole time again. */
  async begin(given, context, sent) {
    let deadline = given.deadline.getTime();
    const began = this.now();
    if (sent !== undefined && began - sent >= deadline - began && deadline > sent) {
      try {
        await this.queue.send(given.completionsUrl, message(given, "running"));
        deadline = began + deadline - sent;
        sent = began;
      } catch (error) { // it keeps its old deadline
        this.log(`heartbeat of task ${given.id} failed: ${error.name}`);
      }
    }
    const length = Math.max(deadline - began, sent === undefined ? 0 : deadline - sent);
    const latest = Math.min(context ? began + context.getRemainingTimeInMillis() : Infinity, this.timeout ? began + this.timeout * 1000 : Infinity);
    const margin = Math.max(Math.min(MARGIN, (Math.min(deadline, latest) - began) / 10), 0);
    let ends = Math.min(deadline, latest) - margin;
    const controller = new AbortController();
    let timer;
    const arm = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (ends > this.now()) arm();
        else controller.abort(new Failure("the attempt's time is over", { type: "Timeout" }));
      }, Math.min(Math.max(ends - this.now(), 0), MOST_TIMER));
      timer.unref?.();
    };
    const stats = {};
    const task = {
      ...given, deadline: new Date(deadline), signal: controller.signal,
      stat: (name, value) => { stats[name] = value; },
      remaining: () => Math.max(ends - this.now(), 0),
      heartbeat: async () => {
        const asked = this.now();
        await this.queue.send(given.completionsUrl, message(given, "running"));
        ends = Math.max(ends, Math.min(asked + length, latest) - margin);
      },
      headers: () => ({ ...(given.traceparent && { traceparent: given.traceparent }), ...(given.tracestate && { tracestate: given.tracestate }) }),
    };
    arm();
    return { task, stats, lose: (reason) => controller.abort(reason), stop: () => clearTimeout(timer) };
  }

  /** Calls the function, and returns the completion, and what was thrown if it failed. It sends nothing but heartbeats. */
  async call({ task, stats }, every = this.heartbeat) {
    let thrown;
    const late = this.now() - task.deadline.getTime();
    if (late >= 0) {
      thrown = new Failure(`deadline ${task.deadline.toISOString()} had passed by ${late} ms when the worker received the task`, { type: "Timeout" });
      return { text: failed(task, thrown, {}), thrown };
    }
    const beats = every ? setInterval(() => task.heartbeat().catch((error) => this.log(`heartbeat of task ${task.id} failed: ${error.name}`)), every * 1000) : undefined;
    try {
      const result = await this.run(task);
      return { text: completed(task, result, stats) };
    } catch (error) {
      thrown = error ?? new Failure(`the function threw ${error}`);
      return { text: failed(task, thrown, stats), thrown };
    } finally {
      clearInterval(beats);
    }
  }

  /** Sends a completion and returns it. If the queue refuses its contents, a failure that says so is sent, and the attempt still ends. */
  async report(task, { text, thrown }) {
    try {
      try {
        await this.send(task, text);
      } catch (refusal) {
        if (!ofContents(refusal)) throw refusal;
        thrown ??= new Permanent(`completions queue refused a completion of ${Buffer.byteLength(text)} bytes: ${refusal.message}`, { type: "ResultTooLarge" });
        text = failed(task, thrown, {});
        await this.send(task, text);
      }
    } catch (error) {
      throw new CompletionError(`attempt ${task.attempt} of task ${task.id} ended, but its completion could not be sent: ${error.message}`, error);
    }
    this.log(`task ${task.id}, attempt ${task.attempt}: ${thrown ? kindOf(thrown) : "completed"}`); // messages of errors may quote the payload
    return text;
  }

  async send(task, text) {
    const began = Date.now();
    for (let tries = 1; ; tries++) {
      try {
        return await this.queue.send(task.completionsUrl, text);
      } catch (error) {
        if (final(error) || tries === SEND_TRIES || Date.now() - began > SEND_TIME) throw error;
        await pause(this.wait(tries));
      }
    }
  }
}

/** Recognises the event of an SQS event source mapping. A task whose payload has an attribute Records is none: it also has drover. */
function isBatch(event) {
  return typeof event === "object" && event !== null && !("drover" in event) && Array.isArray(event.Records) && event.Records[0]?.eventSource === "aws:sqs";
}
