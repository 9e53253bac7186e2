// What the protocol's suite cannot say: queues that fail, time, the poll loop, and Node's own ways.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";

import * as sdk from "../src/index.js";
import { CompletionError, Permanent, RetryAfter, worker } from "../src/index.js";

const URL = "https://sqs.eu-west-1.amazonaws.com/000000000000/completions";

function event(payload = {}, seconds = 600) {
  return { ...payload, task_id: "abc.7", drover: { version: 1, task_id: "abc.7", job_id: "j", labourer_id: "l", attempt: 2,
    deadline: new Date(Date.now() + seconds * 1000).toISOString(), completions_url: URL } };
}

function awsError(name, status) {
  return Object.assign(new Error(name), { name, $metadata: { httpStatusCode: status } });
}

/** A queue in memory, which fails as often as it is told to. */
class Queue {
  constructor(...errors) {
    Object.assign(this, { errors, sent: [], removed: [], shown: [], hidden: 0, waiting: [] });
  }

  async send(_, body) {
    const error = this.errors.shift();
    if (error) throw error;
    this.sent.push(JSON.parse(body));
  }

  async receive(_url, most) {
    const taken = this.waiting.splice(0, most);
    if (!taken.length) await sleep(5);
    return taken;
  }

  async remove(_, receipt) { this.removed.push(receipt); }

  async hide(_url, receipt, seconds) {
    if (seconds === 0) this.shown.push(receipt);
    else this.hidden++;
  }
}

const of = (queue, run, options = {}) => worker(run, { queue, log: () => {}, wait: () => 0, ...options });
const message = (n, body) => ({ id: `m${n}`, receipt: `r${n}`, body: JSON.stringify(body) });

test("what is thrown names its failure", async () => {
  for (const [thrown, type, text, retryable] of [
    [new TypeError("no store"), "TypeError", "no store", true],
    [awsError("AccessDenied", 403), "AccessDenied", "AccessDenied", true],
    [new Permanent("gone"), "Permanent", "gone", false],
    [new Permanent("gone", { cause: new RangeError("x") }), "RangeError", "gone", false],
    [new RetryAfter(30), "RetryAfter", "RetryAfter", true],
    [new DOMException("too late", "TimeoutError"), "Timeout", "too late", true],
  ]) {
    const sent = await of(new Queue(), () => { throw thrown; })(event());
    assert.deepEqual([sent.error, sent.retryable], [{ type, message: text }, retryable]);
  }
});

test("a completion is sent again until the queue takes it", async () => {
  const queue = new Queue(awsError("ServiceUnavailable", 503), new Error("network"), awsError("ThrottlingException", 400));
  await of(queue, () => 1)(event());
  assert.deepEqual(queue.sent.map((m) => m.result), [1]);
});

test("a completion that cannot be sent fails the invocation", async () => {
  for (const errors of [[awsError("AccessDenied", 403)], Array(7).fill(new Error("network"))]) {
    await assert.rejects(of(new Queue(...errors), () => 1)(event()), CompletionError);
  }
});

test("a result that the queue refuses is a failure for good", async () => {
  const queue = new Queue(awsError("InvalidMessageContents", 400));
  await of(queue, () => 1)(event());
  assert.deepEqual(queue.sent.map((m) => [m.error.type, m.retryable]), [["ResultTooLarge", false]]);
});

test("time is short of the deadline and of the function, and a heartbeat extends it", async () => {
  let now = Date.now();
  const left = [];
  const options = { now: () => now };
  await of(new Queue(), (task) => { left.push(task.remaining()); }, options)(event());
  await of(new Queue(), (task) => { left.push(task.remaining()); }, options)(event(), { getRemainingTimeInMillis: () => 10_000 });
  await of(new Queue(), async (task) => {
    now += 599_000;
    left.push(task.remaining());
    await task.heartbeat();
    left.push(task.remaining());
  }, options)(event());
  assert.deepEqual(left.map((ms) => Math.round(ms / 1000)), [598, 9, 0, 598]);
});

test("the signal ends a run whose time is over", async () => {
  const sent = await of(new Queue(), (task) => sleep(5000, undefined, { signal: task.signal }))(event({}, 0.2));
  assert.equal(sent.error.type, "Timeout");
});

test("heartbeats are sent while the function runs", async () => {
  const queue = new Queue();
  await of(queue, () => sleep(120), { heartbeat: 0.03 })(event());
  assert.deepEqual(queue.sent.slice(0, 2).map((m) => m.status), ["running", "running"]);
  assert.equal(queue.sent.at(-1).status, "completed");
});

test("no log has a payload or a message", async () => {
  const lines = [];
  await of(new Queue(), (task) => { throw new RangeError(task.payload.secret); }, { log: (line) => lines.push(line) })(event({ secret: "hunter2" }));
  assert.match(lines.join("\n"), /RangeError/);
  assert.doesNotMatch(lines.join("\n"), /hunter2/);
});

/** Polls until a condition holds, then stops. */
async function polled(queue, run, until, options = {}) {
  const stop = new AbortController();
  const end = Date.now() + 5000;
  const watching = (async () => {
    while (!until() && Date.now() < end) await sleep(5);
    stop.abort();
  })();
  await of(queue, run).poll("https://queue", { signal: stop.signal, ...options });
  await watching;
}

test("a poller runs tasks at once and deletes their messages", async () => {
  const queue = new Queue();
  queue.waiting = [0, 1, 2, 3, 4, 5].map((n) => message(n, event({ n })));
  let running = 0;
  let most = 0;
  await polled(queue, async (task) => {
    most = Math.max(most, ++running);
    await sleep(30);
    running--;
    return task.payload.n;
  }, () => queue.removed.length === 6, { concurrency: 3 });
  assert.deepEqual(queue.sent.map((m) => m.result).sort(), [0, 1, 2, 3, 4, 5]);
  assert.equal(most, 3);
});

test("a message without a task stays in the queue", async () => {
  const queue = new Queue();
  queue.waiting = [message(1, { no: "task" }), message(2, event())];
  await polled(queue, () => {}, () => queue.removed.length > 0);
  assert.deepEqual(queue.removed, ["r2"]);
});

test("a poller that is stopped lets tasks end", async () => {
  const queue = new Queue();
  queue.waiting = [message(1, event())];
  let begun = false;
  await polled(queue, async () => { begun = true; await sleep(100); }, () => begun);
  assert.deepEqual([queue.removed, queue.sent.map((m) => m.status)], [["r1"], ["completed"]]);
});

test("a task that does not end goes back to the queue", async () => {
  const queue = new Queue();
  queue.waiting = [message(1, event())];
  let begun = false;
  await polled(queue, (task) => { begun = true; return sleep(60_000, undefined, { signal: task.signal }); }, () => begun, { drain: 0.05 });
  assert.deepEqual([queue.removed, queue.shown, queue.sent], [[], ["r1"], []]);
});

test("a queue that does not exist ends the poller", async () => {
  const queue = new Queue();
  queue.receive = async () => { throw awsError("QueueDoesNotExist", 400); };
  await assert.rejects(of(queue, () => {}).poll("https://queue", { signal: new AbortController().signal }), /QueueDoesNotExist/);
});

test("wrong settings of a poller are refused", async () => {
  for (const [url, options] of [["", {}], ["q", { concurrency: 0 }], ["q", { visibility: 5 }]]) {
    await assert.rejects(of(new Queue(), () => {}).poll(url, options), RangeError);
  }
});

test("the types declare what the package exports", () => {
  const declared = readFileSync(new globalThis.URL("../src/index.d.ts", import.meta.url), "utf8").matchAll(/^export (?:class|function) (\w+)/gm);
  assert.deepEqual([...declared].map(([, name]) => name).sort(), Object.keys(sdk).sort());
});

test("the worker in the README runs", async () => {
  const [, code] = readFileSync(new globalThis.URL("../README.md", import.meta.url), "utf8").match(/```js\n([^]*?)```/);
  const body = code.replace(/^import .*$/m, "").replace("export const handler =", "return");
  const load = async (store) => (store === "full" ? [1, 2] : undefined);
  const queue = new Queue();
  const handler = new Function("Permanent", "RetryAfter", "worker", "load", body)(Permanent, RetryAfter, (run) => worker(run, { queue, log: () => {} }), load);
  for (const payload of [{ store: "full" }, { store: "empty" }, {}]) await handler(event(payload));
  assert.deepEqual(queue.sent.map((m) => [m.status, m.retryable]), [["completed", undefined], ["failed", true], ["failed", false]]);
  assert.deepEqual(queue.sent[0].stats, { rows: 2 });
});
