// Package python has the SDK of Python workers, drover-worker. Its tests run with those of the project.
package python
