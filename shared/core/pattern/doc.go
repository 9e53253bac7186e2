// Package pattern reads event patterns and matches them against metadata, as Amazon EventBridge does.
//
// A pattern is a JSON object of fields. A field has a list of values, of which one has to match, or an object of further fields. All fields have
// to match. $or has a list of two or more objects, of which one has to match in its place:
//
//	{"country": ["AT", "DE"], "total": [{"numeric": [">", 100]}], "$or": [{"vip": [true]}, {"coupon": [{"exists": true}]}]}
//
// A value is text, a number, true, false, null, or an object with one operator:
//
//	{"exactly": "AT"}                                the text, even if it looks like an IP address
//	{"prefix": "A"}, {"suffix": ".png"}              text that begins or ends so; or {"prefix": {"equals-ignore-case": "a"}}
//	{"equals-ignore-case": "at"}                     the text in lower or upper case, character by character
//	{"wildcard": "a/*.png"}                          * stands for any characters; \* and \\ stand for * and \
//	{"anything-but": "AT"}                           any value but this one; or a list of texts, or of numbers
//	{"anything-but": {"prefix": "A"}}                or suffix, equals-ignore-case, wildcard; each with a text or a list of texts
//	{"numeric": [">", 0, "<=", 5]}                   numbers: =, <, <=, >, >=, or a lower bound and then an upper bound
//	{"exists": true}, {"exists": false}              whether the field has a value
//	{"cidr": "10.0.0.0/24"}                          text that is an IPv4 or IPv6 address of that block
//
// # Meaning
//
// The meaning is that of event-ruler, the library that EventBridge matches with (https://github.com/aws/event-ruler), and of
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html:
//
//   - A name with a dot is the same as nesting: a.b is the field b of the object a, in the pattern and in the metadata.
//   - A list matches if one of its elements does. Fields of objects in a list have to match in one and the same element. The fields are
//     compared in the order of their paths; {"exists": false} looks only at the elements that the fields before it have chosen, and at all
//     elements if they have chosen none.
//   - A field exists if it has text, a number, true, false or null. Objects, empty objects and empty lists are no values.
//   - {"anything-but": …} matches every value that exists and differs, whatever its type. In a list one such element is enough.
//   - Numbers are compared by value: 300 and 3.0e2 are the same. A number that a double cannot hold is compared by its digits as written.
//   - Text that is an IP address matches every spelling of that address.
//   - A field outside of $or that a branch names again is replaced by the one of the branch, or, if it is written behind the $or, replaces it.
//     [Pattern.Lint] reports it.
//   - A pattern in which $or is not a list of two or more objects of fields is read once more with $or as the name of a field.
//
// Unlike EventBridge, Parse refuses a name that appears twice in an object, and two ways to write one field beside each other. In metadata the last value
// of a name counts; so it does if a name with a dot and nesting give one path two values that are not both objects.
//
// # Cost
//
// A pattern has at most [MaxSize] characters and stands for at most [MaxCombinations] combinations. Matching takes time in proportion to the
// metadata for the values, and to the metadata times the combinations, at worst, for fields of objects in lists; nothing backtracks.
package pattern
