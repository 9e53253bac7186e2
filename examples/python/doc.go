// Package python holds the example of a worker in Python (worker.py). There is no Go in it but the test that runs its tests.
package python
