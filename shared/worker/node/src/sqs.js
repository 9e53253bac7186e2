const REGION = /^https?:\/\/(?:sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|sqs\.([a-z0-9-]+)\.api\.aws)(?::\d+)?\//;
const THROTTLES = new Set(["Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequestsException",
  "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete"]);

const sdk = () => import("@aws-sdk/client-sqs"); // at the first use: tests do without it
const clients = new Map();

async function call(url, make) {
  const aws = await sdk();
  const match = REGION.exec(url); // the queue may be in another region than the worker
  const region = match?.[1] ?? match?.[2];
  if (!clients.has(region)) clients.set(region, new aws.SQSClient(region ? { region } : {}));
  const { command, options } = make(aws);
  return clients.get(region).send(command, options);
}

/** SQS, by the AWS SDK. */
export const sqs = {
  async send(url, body) {
    await call(url, (aws) => ({ command: new aws.SendMessageCommand({ QueueUrl: url, MessageBody: body }) }));
  },
  async receive(url, most, visibility, signal) {
    const out = await call(url, (aws) => ({
      command: new aws.ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: most, WaitTimeSeconds: 20, VisibilityTimeout: Math.ceil(visibility),
        MessageSystemAttributeNames: ["SentTimestamp"] }),
      options: { abortSignal: signal },
    }));
    return (out.Messages ?? []).map((m) => ({ id: m.MessageId, receipt: m.ReceiptHandle, body: m.Body, sentAt: sentAt(m.Attributes?.SentTimestamp) }));
  },
  async remove(url, receipt) {
    await call(url, (aws) => ({ command: new aws.DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: receipt }) }));
  },
  async hide(url, receipt, seconds) {
    await call(url, (aws) => ({ command: new aws.ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: Math.ceil(seconds) }) }));
  },
};

/** Returns the time at which a message was put into its queue, or undefined if the message does not have it. */
export function sentAt(value) {
  return /^\d+$/.test(value ?? "") ? Number(value) : undefined;
}

/** Reports whether the same call would fail again: no such queue, no permission. */
export function final(error) {
  const status = error?.$metadata?.httpStatusCode;
  return !THROTTLES.has(error?.name) && status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** Reports whether the queue refused a message for its characters or its size. */
export function ofContents(error) {
  return ["InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException", "RequestEntityTooLarge", "RequestEntityTooLargeException"].includes(
    String(error?.name).split(".").pop());
}
