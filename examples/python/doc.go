// Package python holds the example of a worker in Python (worker.py). Its only Go code is the test that runs the example's own tests.
package python
