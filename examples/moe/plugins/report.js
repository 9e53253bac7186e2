// An optional plugin of the stage post, by the wrapper for SNS.
require('./endpoint');
const { orchestratorWrapperSns, OrchestratorError } = require('@moe-tech/orchestrator');

const pluginInfo = {
  pluginName: 'report',
  description: 'Tells the shop.',
  default: { mandatory: false },
};

exports.plugin = orchestratorWrapperSns(pluginInfo, async (message) => {
  if (message.country === 'DE') {
    throw new OrchestratorError('the shop in DE is closed');
  }
});
