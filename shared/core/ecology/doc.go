// Package ecology decides how many tasks of a labourer may run at once, from the health of the systems that its workers depend on.
//
// A labourer names CloudWatch metrics, and its feelings about their values. Each metric has a status from Bad (0) to High (4). The labourer's status is
// the worst of them. The coefficient of that status times the labourer's cap gives the desired number of running tasks.
//
// The package has rules and no effects: its input is CloudWatch's answers, the time and the number of running tasks, and it returns what the next
// assessment has to know (History). A rule that cannot be applied says so in its Reason instead of failing. Trouble with a metric affects only the
// labourers that use it.
package ecology
