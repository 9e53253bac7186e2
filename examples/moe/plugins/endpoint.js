// The SDK of then knows no AWS_ENDPOINT_URL, by which a local AWS says where it is. On AWS the variable is absent and this file does nothing.
const AWS = require('aws-sdk');

if (process.env.AWS_ENDPOINT_URL) {
  AWS.config.update({ endpoint: process.env.AWS_ENDPOINT_URL });
}
