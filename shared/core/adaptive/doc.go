// Package adaptive finds the cap that holds a metric at a target.
//
// The owner of a labourer says which value of a metric is to be held. Which cap does that is not known, and changes with the system behind the metric.
// A Controller raises the cap of its labourers while it is used and the metric is below the target, holds it in a band around the target, and
// lowers it above the band. Labourers with the same metric and target share one controller: together they have one cap, which is divided by weight and
// need.
//
// Metrics are slow: a value tells of a time that may be minutes ago. So only values that are entirely about the present cap count, and each change is
// followed by such values before the next. With that the effect of a change is never waited for twice.
//
// The package has rules and no effects. It reads no clock.
package adaptive
