// Package view is how the state of a stack looks to those who ask for it: the lines and documents that the command line prints as JSON,
// and the rules by which they are made of what the tables hold.
//
// Where a task is, is said in two places: its item tells how its last attempt ended, and the control table has its number in a lease
// or in a queue entry while it is on its way. The two are read one after the other, so one of them may be older; the rules here make of
// any such pair a status that was true between the two readings.
package view
