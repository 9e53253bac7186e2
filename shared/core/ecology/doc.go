// Package ecology decides how many tasks of a labourer may run at once, from the health of what its workers depend on.
//
// A labourer names CloudWatch metrics and how it feels about their values. Each metric has a status from Bad (0) to High (4). The
// labourer's status is the worst of them. The coefficient of that status times the labourer's cap is the desired number of running tasks.
//
// The package has rules and no effects: it is given CloudWatch's answers, the time and the number of running tasks, and returns what to
// remember until the next time (History). A rule that cannot be applied says so in its Reason instead of failing: trouble with a metric
// affects the labourers that use it, and no other.
package ecology
