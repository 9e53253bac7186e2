package infra_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/drover-run/drover/"

// program holds a function's own code, with types, and marks the part that main reaches.
//
// Reached code is what other reached code names, and the methods that a call through an interface may call: those of each type of this module of
// which reached code makes a value. The methods that the standard library calls by reflection (decoding JSON) are left out; they call no service.
type program struct {
	packages map[string]*types.Package
	info     *types.Info
	bodies   map[*types.Func]*ast.FuncDecl
	reached  map[*types.Func]bool
	made     map[*types.Named]bool
	asked    map[*types.Func]bool // the called methods of interfaces

	literals  []*ast.CompositeLit // in reached code
	fields    map[*types.Var][]ast.Expr
	arguments map[*types.Var][]ast.Expr // by parameter
	locals    map[types.Object][]ast.Expr
	results   map[*types.Func][]ast.Expr
}

type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// load reads the program in a folder of the checkout, as built for Lambda.
func load(t *testing.T, folder string) *program {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-tags", "lambda.norpc", "-json=ImportPath,Dir,Export,GoFiles", "./"+folder)
	list.Dir, list.Stderr = "..", os.Stderr
	out, err := list.Output()
	require.NoError(t, err, "go list %s", folder)

	p := &program{
		packages: map[string]*types.Package{}, bodies: map[*types.Func]*ast.FuncDecl{}, reached: map[*types.Func]bool{},
		made: map[*types.Named]bool{}, asked: map[*types.Func]bool{}, fields: map[*types.Var][]ast.Expr{},
		arguments: map[*types.Var][]ast.Expr{}, locals: map[types.Object][]ast.Expr{}, results: map[*types.Func][]ast.Expr{},
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
			Selections: map[*ast.SelectorExpr]*types.Selection{}},
	}
	exports := map[string]string{}
	files := token.NewFileSet()
	others := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	settings := types.Config{Importer: importing(func(path string) (*types.Package, error) {
		if ours := p.packages[path]; ours != nil {
			return ours, nil
		}
		return others.Import(path)
	})}
	var main *types.Package
	var initial []ast.Node
	for all := json.NewDecoder(strings.NewReader(string(out))); all.More(); { // go list prints a package after its imports
		var one listedPackage
		require.NoError(t, all.Decode(&one))
		exports[one.ImportPath] = one.Export
		if !strings.HasPrefix(one.ImportPath, module) {
			continue
		}
		var parsed []*ast.File
		for _, name := range one.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(one.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			parsed = append(parsed, file)
		}
		main, err = settings.Check(one.ImportPath, files, parsed, p.info)
		require.NoError(t, err)
		p.packages[one.ImportPath] = main
		initial = append(initial, p.declare(parsed)...)
	}
	for _, n := range initial {
		p.look(nil, n)
	}
	p.reach(main.Scope().Lookup("main").(*types.Func))
	p.settle()
	return p
}

type importing func(path string) (*types.Package, error)

func (i importing) Import(path string) (*types.Package, error) { return i(path) }

// declare records the functions of a package, and returns the code that runs before main.
func (p *program) declare(files []*ast.File) (initial []ast.Node) {
	for _, file := range files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				initial = append(initial, d)
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					initial = append(initial, d.Body)
				}
				if f, is := p.info.Defs[d.Name].(*types.Func); is {
					p.bodies[f] = d
				}
			}
		}
	}
	return initial
}

func (p *program) reach(f *types.Func) {
	f = f.Origin()
	body := p.bodies[f]
	if body == nil || p.reached[f] {
		return
	}
	p.reached[f] = true
	p.look(f, body.Body)
}

// settle reaches the methods that calls through interfaces may call, until it finds no more.
func (p *program) settle() {
	for before := -1; before != len(p.reached)+len(p.made)+len(p.asked); {
		before = len(p.reached) + len(p.made) + len(p.asked)
		for _, method := range slices.Collect(maps.Keys(p.asked)) {
			as := method.Signature().Recv().Type().Underlying().(*types.Interface)
			for _, made := range slices.Collect(maps.Keys(p.made)) {
				pointer := types.NewPointer(made)
				if !types.Implements(pointer, as) {
					continue
				}
				found, _, _ := types.LookupFieldOrMethod(pointer, true, method.Pkg(), method.Name())
				if f, is := found.(*types.Func); is {
					p.reach(f)
				}
			}
		}
	}
}

// look walks through reached code. in is the function that the code belongs to, or nil for code that runs before main.
func (p *program) look(in *types.Func, code ast.Node) {
	ast.Inspect(code, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if f, is := p.info.Uses[n].(*types.Func); is {
				p.named(f)
			}
		case *ast.CompositeLit:
			p.literal(n)
		case *ast.CallExpr:
			p.call(n)
		case *ast.AssignStmt:
			p.assign(n)
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) {
					p.locals[p.info.Defs[name]] = append(p.locals[p.info.Defs[name]], n.Values[i])
				}
			}
		case *ast.ReturnStmt:
			if in != nil && len(n.Results) > 0 {
				p.results[in] = append(p.results[in], n.Results[0])
			}
		}
		return true
	})
}

func (p *program) named(f *types.Func) {
	if receiver := f.Signature().Recv(); receiver != nil && types.IsInterface(receiver.Type()) {
		p.asked[f] = true
		return
	}
	p.reach(f)
}

func (p *program) literal(l *ast.CompositeLit) {
	p.literals = append(p.literals, l)
	kind := p.info.Types[l].Type
	if pointer, is := kind.Underlying().(*types.Pointer); is {
		kind = pointer.Elem() // a list of *T may omit the type of &T
	}
	if named, is := kind.(*types.Named); is && named.Obj().Pkg() != nil && strings.HasPrefix(named.Obj().Pkg().Path(), module) {
		p.made[named.Origin()] = true
	}
	structure, is := kind.Underlying().(*types.Struct)
	if !is {
		return
	}
	for i, element := range l.Elts {
		field, value := structure.Field(i), element
		if pair, is := element.(*ast.KeyValueExpr); is {
			field, value = p.info.Uses[pair.Key.(*ast.Ident)].(*types.Var), pair.Value
		}
		p.fields[field.Origin()] = append(p.fields[field.Origin()], value)
	}
}

// call records the arguments for the parameters of a function of this module.
func (p *program) call(c *ast.CallExpr) {
	f := p.callee(c)
	if f == nil || p.bodies[f] == nil {
		return
	}
	parameters := f.Signature().Params()
	for i, argument := range c.Args {
		if parameters.Len() > 0 {
			parameter := parameters.At(min(i, parameters.Len()-1))
			p.arguments[parameter] = append(p.arguments[parameter], argument)
		}
	}
}

func (p *program) callee(c *ast.CallExpr) *types.Func {
	var name *ast.Ident
	switch f := ast.Unparen(c.Fun).(type) {
	case *ast.Ident:
		name = f
	case *ast.SelectorExpr:
		name = f.Sel
	default:
		return nil
	}
	f, _ := p.info.Uses[name].(*types.Func)
	if f == nil {
		return nil
	}
	return f.Origin()
}

func (p *program) assign(a *ast.AssignStmt) {
	for i, left := range a.Lhs {
		value := a.Rhs[0] // of several results, only the first matters here
		if len(a.Rhs) == len(a.Lhs) {
			value = a.Rhs[i]
		}
		switch left := left.(type) {
		case *ast.Ident:
			object := p.info.Defs[left]
			if object == nil {
				object = p.info.Uses[left]
			}
			if object != nil {
				p.locals[object] = append(p.locals[object], value)
			}
		case *ast.SelectorExpr:
			if s := p.info.Selections[left]; s != nil {
				field := s.Obj().(*types.Var).Origin()
				p.fields[field] = append(p.fields[field], value)
			}
		}
	}
}

// origins are the settings that a value may come from: "Environment.Tasks", "Target.Lambda".
func (p *program) origins(value ast.Expr, seen map[ast.Expr]bool) []string {
	if seen[value] {
		return nil
	}
	seen[value] = true
	var from []ast.Expr
	switch v := ast.Unparen(value).(type) {
	case *ast.UnaryExpr:
		from = append(from, v.X)
	case *ast.Ident:
		object := p.info.Uses[v]
		from = append(from, p.locals[object]...)
		if parameter, is := object.(*types.Var); is {
			from = append(from, p.arguments[parameter]...)
		}
	case *ast.CallExpr:
		if f := p.callee(v); f != nil && p.bodies[f] != nil {
			from = p.results[f]
		} else {
			from = v.Args // aws.String(x), string(x)
		}
	case *ast.SelectorExpr:
		s := p.info.Selections[v]
		if s == nil || s.Kind() != types.FieldVal {
			return nil
		}
		field := s.Obj().(*types.Var).Origin()
		if owner := p.owner(field); owner != "" {
			return []string{owner + "." + field.Name()}
		}
		if from = p.given(v.X, field.Name()); from == nil {
			from = p.fields[field]
		}
	}
	var found []string
	for _, one := range from {
		found = append(found, p.origins(one, seen)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// owner returns the name of a struct that holds values from outside: the function's environment or a labourer's target.
func (p *program) owner(field *types.Var) string {
	for _, at := range []struct{ path, name string }{{"shared/wiring", "Environment"}, {"shared/core/labourer", "Target"}} {
		if pkg := p.packages[module+at.path]; pkg != nil && pkg == field.Pkg() {
			structure := pkg.Scope().Lookup(at.name).Type().Underlying().(*types.Struct)
			for its := range structure.Fields() {
				if its == field {
					return at.name
				}
			}
		}
	}
	return ""
}

// given returns the value of a field of a struct that a function of this module made and returned, or nil if the value comes from elsewhere.
func (p *program) given(of ast.Expr, field string) []ast.Expr {
	var found []ast.Expr
	switch of := ast.Unparen(of).(type) {
	case *ast.Ident:
		for _, value := range p.locals[p.info.Uses[of]] {
			found = append(found, p.given(value, field)...)
		}
	case *ast.CallExpr:
		if f := p.callee(of); f != nil && p.bodies[f] != nil {
			for _, result := range p.results[f] {
				found = append(found, p.given(result, field)...)
			}
		}
	case *ast.UnaryExpr:
		return p.given(of.X, field)
	case *ast.CompositeLit:
		for _, element := range of.Elts {
			if pair, is := element.(*ast.KeyValueExpr); is && fmt.Sprint(pair.Key) == field {
				found = append(found, pair.Value)
			}
		}
	}
	return found
}

// request is an SDK structure with which a call names its action and its resource.
type request struct {
	action string
	about  string // the field that names the resource; "key" for the keys of the map RequestItems; "" for an action without resource
}

var requests = map[string]request{
	"dynamodb.BatchGetItemInput":              {"dynamodb:BatchGetItem", "key"},
	"dynamodb.BatchWriteItemInput":            {"dynamodb:BatchWriteItem", "key"},
	"dynamodb.DeleteItemInput":                {"dynamodb:DeleteItem", "TableName"},
	"dynamodb.GetItemInput":                   {"dynamodb:GetItem", "TableName"},
	"dynamodb.PutItemInput":                   {"dynamodb:PutItem", "TableName"},
	"dynamodb.QueryInput":                     {"dynamodb:Query", "TableName"},
	"dynamodb.ScanInput":                      {"dynamodb:Scan", "TableName"},
	"dynamodb.UpdateItemInput":                {"dynamodb:UpdateItem", "TableName"},
	"dynamodb/types.ConditionCheck":           {"dynamodb:ConditionCheckItem", "TableName"},
	"dynamodb/types.Delete":                   {"dynamodb:DeleteItem", "TableName"},
	"dynamodb/types.Put":                      {"dynamodb:PutItem", "TableName"},
	"dynamodb/types.Update":                   {"dynamodb:UpdateItem", "TableName"},
	"cloudwatch.GetMetricDataInput":           {"cloudwatch:GetMetricData", ""},
	"eventbridge/types.PutEventsRequestEntry": {"events:PutEvents", "EventBusName"},
	"lambda.InvokeInput":                      {"lambda:InvokeFunction", "FunctionName"},
	"s3.GetObjectInput":                       {"s3:GetObject", "Bucket"},
	"s3.ListObjectsV2Input":                   {"s3:ListBucket", "Bucket"},
	"s3.PutObjectInput":                       {"s3:PutObject", "Bucket"},
	"sfn.DescribeExecutionInput":              {"states:DescribeExecution", ""},
	"sfn.StartExecutionInput":                 {"states:StartExecution", "StateMachineArn"},
	"sfn.SendTaskSuccessInput":                {"states:SendTaskSuccess", ""},
	"sns.PublishInput":                        {"sns:Publish", "TopicArn"},
	"sqs.GetQueueAttributesInput":             {"sqs:GetQueueAttributes", "QueueUrl"},
	"sqs.SendMessageBatchInput":               {"sqs:SendMessage", "QueueUrl"},
	"sqs.SendMessageInput":                    {"sqs:SendMessage", "QueueUrl"},
}

// containers are structures ending in Input that hold requests, which name their own resources.
var containers = []string{"dynamodb.TransactWriteItemsInput", "eventbridge.PutEventsInput"}

// calls returns the calls of AWS that the program makes: "dynamodb:GetItem on Environment.Tasks".
func (p *program) calls(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, l := range p.literals {
		kind := strings.TrimPrefix(p.info.Types[l].Type.String(), "*")
		name, aws := strings.CutPrefix(kind, "github.com/aws/aws-sdk-go-v2/service/")
		if !aws || slices.Contains(containers, name) {
			continue
		}
		r, known := requests[name]
		if !known {
			require.False(t, strings.HasSuffix(name, "Input"), "which action is %s?", name)
			continue
		}
		if r.about == "" {
			found = append(found, r.action+" on *")
			continue
		}
		for _, about := range p.about(l, r.about) {
			origins := p.origins(about, map[ast.Expr]bool{})
			require.NotEmpty(t, origins, "a %s names a resource of unknown origin", name)
			for _, origin := range origins {
				found = append(found, r.action+" on "+origin+p.index(t, l))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// about returns the values that name the resource of a request.
func (p *program) about(l *ast.CompositeLit, field string) []ast.Expr {
	if field != "key" {
		return p.given(l, field)
	}
	var names []ast.Expr
	for _, items := range p.given(l, "RequestItems") {
		for _, element := range items.(*ast.CompositeLit).Elts {
			names = append(names, element.(*ast.KeyValueExpr).Key)
		}
	}
	return names
}

// index returns the index that a query reads, like "/index/by_month", or "" for the table itself.
func (p *program) index(t *testing.T, l *ast.CompositeLit) string {
	t.Helper()
	found := ""
	for _, value := range p.given(l, "IndexName") {
		ast.Inspect(value, func(n ast.Node) bool {
			if e, is := n.(ast.Expr); is && p.info.Types[e].Value != nil {
				name, err := strconv.Unquote(p.info.Types[e].Value.ExactString())
				require.NoError(t, err)
				found = "/index/" + name
			}
			return found == ""
		})
		require.NotEmpty(t, found, "an index without a constant name")
	}
	return found
}

// variables returns the names of the function's environment variables by the fields of Environment, as wiring.Load reads them.
func (p *program) variables() map[string]string {
	found := map[string]string{}
	for _, l := range p.literals {
		if p.info.Types[l].Type.String() != "map[string]*string" {
			continue
		}
		for _, element := range l.Elts {
			pair := element.(*ast.KeyValueExpr)
			for _, origin := range p.origins(pair.Value, map[ast.Expr]bool{}) {
				name, _ := strconv.Unquote(p.info.Types[pair.Key].Value.ExactString())
				found[origin] = name
			}
		}
	}
	return found
}

// builds reports whether the program makes the input of a call. It may hand the input to a paginator of the SDK, which makes the call.
func (p *program) builds(call *types.Func) bool {
	input := call.Signature().Params().At(1).Type().(*types.Pointer).Elem()
	return slices.ContainsFunc(p.literals, func(l *ast.CompositeLit) bool { return types.Identical(p.info.Types[l].Type, input) })
}
