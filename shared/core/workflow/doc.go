// Package workflow decides about workflows: what owners may define, which plugins a run starts, and how its states follow from what ended.
//
//	workflow     an ordered list of activities
//	activity     three stages: pre (one plugin after the other), parallel (all at once), post (one after the other)
//	plugin       a labourer that takes part in a stage; registered by its own owner, with a filter on the run's metadata
//	composition  a workflow with the options of its activities and the plugins in them: an immutable version
//	run          one pass through a composition, named by workflow, uid and run number
//	turn         a plugin's part in a run: one task of its labourer, numbered by its place in the stage
//
// A run keeps the composition that it began with, and its metadata does not change. So its plan, with what each filter decides, is a pure
// function of its record, and nothing of it is stored. What is stored are the numbers of the turns that were published and that have ended, as
// sets. Step says what follows from them, and the states of stage, activity and run are computed, never stored while they can still change.
package workflow
