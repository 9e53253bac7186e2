// Package moe speaks with plugins that were written for @moe-tech/orchestrator, and that run unchanged as workers of Drover.
//
// Such a plugin gets the message of an SNS topic, whose text has the run's metadata at its top level. It returns nothing: it tells its state by an
// update of one record in its run's row of a status table, and it dies if the maps that lead to the record are missing. So Drover writes the row
// before each attempt, and reads from the table's stream which records became Complete or Error.
package moe
