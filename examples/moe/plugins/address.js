// A plugin of the stage pre, by the wrapper for SNS.
require('./endpoint');
const { orchestratorWrapperSns, OrchestratorError } = require('@moe-tech/orchestrator');

const pluginInfo = {
  pluginName: 'address',
  description: 'Checks that an order says where it goes.',
  default: { mandatory: true },
  order: 10,
};

exports.plugin = orchestratorWrapperSns(pluginInfo, async (message) => {
  if (message.crash) {
    throw new Error('the address service is gone');
  }
  if (!message.country) {
    throw new OrchestratorError('the order has no country');
  }
});
