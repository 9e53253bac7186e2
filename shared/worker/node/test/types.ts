// Compiled, not run: what users of the types may write, and what the compiler has to refuse.
import { BadEvent, Failure, Message, Options, Permanent, PollOptions, Queue, RetryAfter, Task, Worker, parseTask, worker } from "drover-worker";

interface Order {
  store: string;
}

const options: Options = { heartbeat: 20, timeout: 60, now: Date.now, log: (line) => line.length };
const polling: PollOptions = { concurrency: 4, visibility: 60, drain: 25, signal: new AbortController().signal };

export const handler: Worker = worker<Order>(async (task: Task<Order>) => {
  const store: string = task.payload.store;
  if (!store) throw new Permanent("store is missing", { type: "BadInput", cause: new Error("none") });
  await task.heartbeat();
  task.stat("rows", 1);
  const headers: Record<string, string> = task.headers();
  await fetch("https://example.com", { headers, signal: task.signal });
  if (task.remaining() < 1_000 || task.deadline < new Date()) throw new RetryAfter(30, "later");
  return { store, attempt: task.attempt + 1 };
}, options);

export async function run(queue: Queue, messages: Message[]): Promise<void> {
  await handler.poll("https://sqs.eu-west-1.amazonaws.com/000000000000/tasks", polling);
  const answer: unknown = await handler({ task_id: "a.1" }, { getRemainingTimeInMillis: () => 1 });
  await queue.send("url", JSON.stringify(answer));
  await queue.hide("url", messages[0]!.receipt, 10);
  try {
    parseTask("{}");
  } catch (error) {
    if (error instanceof BadEvent) throw new Failure(`${error.field}: ${error.reason}`);
  }
}

// @ts-expect-error: a worker needs a function
worker();
// @ts-expect-error: seconds are a number
new RetryAfter("30");
// @ts-expect-error: the attempt is Drover's to count
worker((task) => (task.attempt = 2));
// @ts-expect-error: an order has no price
worker<Order>((task) => task.payload.price);
