// A plugin of the stage parallel whose function reads a queue, by the wrapper for SQS.
require('./endpoint');
const { orchestratorWrapperSqs, OrchestratorError } = require('@moe-tech/orchestrator');

const pluginInfo = {
  pluginName: 'stock',
  description: 'Reserves what was ordered.',
  default: { mandatory: true },
};

exports.plugin = orchestratorWrapperSqs(pluginInfo, async (message) => {
  if (message.total > 100) {
    throw new OrchestratorError(`only 100 left, ${message.total} ordered`);
  }
});
