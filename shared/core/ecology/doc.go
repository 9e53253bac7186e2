// Package ecology decides how many tasks of a labourer may run at once, from the health of what its workers depend on.
//
// A labourer names CloudWatch metrics and how it feels about their values. Each metric has a status from Bad (0) to High (4); the
// labourer's is the worst of them; the status' coefficient times the labourer's cap is the number of tasks desired.
//
// Everything here is a rule and nothing an effect: what CloudWatch said, the time and what is running are handed in, and what has to
// be remembered until the next time is handed out (History). A rule that could not be applied says so in its Reason instead of
// failing: one metric's trouble is that labourer's status, and nobody else's.
package ecology
