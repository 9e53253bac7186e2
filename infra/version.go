package infra

import (
	_ "embed" // the template

	"github.com/drover-run/drover/shared/core/packaging"
)

//go:embed template.yaml
var template []byte

// Template returns the template of the stack. It names the code of its functions by paths in a checkout.
func Template() []byte { return template }

// TemplateVersion returns the version of the template that this program was built with: what drover deploy puts into the output TemplateVersion.
func TemplateVersion() string { return packaging.Version(template) }

// NotStamped marks the output TemplateVersion of a stack that was deployed in another way.
const NotStamped = packaging.NotStamped
