package labourer

import "github.com/drover-run/drover/shared/core/document"

// reader reads the definitions of a document.
type reader struct {
	document.Reader

	// targetOptional accepts a labourer without a target, if only its pace or its jobs matter.
	targetOptional bool
	// sosw is set for a configuration of sosw.
	sosw *soswDefaults
}
