package sim

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/drover-run/drover/shared/core/task"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// moeStages are moe's names of the stages.
var moeStages = []string{"pre", "async", "post"}

// moeHanded checks the message of a plugin of moe's orchestrator (R2): the metadata's members beside the run's.
func (k *checker) moeHanded(s *runSeen, turn turnSeen, message map[string]json.RawMessage) {
	k.faults[MoePlugin]++
	want := map[string]any{"uid": s.uid, "workflow": s.workflow, "activity": turn.name.activity, "stage": moeStages[turn.name.stage]}
	maps.Copy(want, s.metadata)
	for name, value := range want {
		if got := message[name]; !turn.moe || string(encode(plain(got))) != string(encode(plain(encode(value)))) {
			k.violate("R2", "plugin %s of run %s (of moe: %t) got a message of moe's with the %s %s; want %s", turn.name.plugin, s.id, turn.moe, name, got, encode(value))
		}
	}
}

// workMoe does what the wrappers of @moe-tech/orchestrator 1.0.90 do: a plugin skips what its record says is Complete, tells In Progress, runs, and tells
// Complete or Error. It names no task, so in the row of a later run it tells the end of that run's task, or of none.
func (r *run) workMoe(s start, message map[string]json.RawMessage, takes time.Duration, does func(Fault) bool) {
	id, err := task.ParseID(s.TaskID)
	t := r.check.tasks[id]
	if err != nil || t == nil {
		return // which is a violation
	}
	_, _, turn, is := r.check.turnOf(t)
	if !is {
		return
	}
	var at struct{ UID, Workflow string }
	must(json.Unmarshal(encode(message), &at))
	record := moeRecord{r, at.UID, at.Workflow, turn.name, pick(random(r.plan.seed, "list "+turn.name.plugin), "mandatory", "optional")}
	r.check.vague[s.TaskID] = true
	if record.state() == "Complete" {
		s.end(nil, nil)
		return
	}
	record.tell("In Progress")
	r.later(takes, s, func() {
		switch {
		case does(WorkerFails): // it throws another error than OrchestratorError
			s.end(nil, &fakeaws.Failure{Type: "Error", Message: "no"})
			return
		case does(WorkerGivesUp):
			record.tell("Error")
		default:
			record.tell("Complete")
		}
		if does(WorkerTwice) {
			r.later(takes, s, func() { record.tell("Complete") })
		}
		s.end(nil, nil)
	})
}

// moeRecord reads and writes the record of a plugin in a run's row.
type moeRecord struct {
	*run

	uid, workflow string
	turn          turnName
	list          string
}

func (m moeRecord) key() fakeaws.Item {
	return fakeaws.Item{"uid": &types.AttributeValueMemberS{Value: m.uid}, "workflow": &types.AttributeValueMemberS{Value: m.workflow}}
}

func (m moeRecord) row() fakeaws.Item {
	out, err := m.stack.DynamoDB.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: aws.String(fakeaws.StatusTable), Key: m.key(), ConsistentRead: aws.Bool(true)})
	must(err)
	return out.Item
}

func (m moeRecord) state() string {
	it := m.row()
	for _, name := range []string{"activities", m.turn.activity, moeStages[m.turn.stage], m.list, m.turn.plugin} {
		it = within(it, name)
	}
	return str(it, "state")
}

// tell writes a state. It notes what that may end: the task that the row knows by the plugin's name, or none.
func (m moeRecord) tell(state string) {
	row := m.row()
	if of := rowOf(row).tasks[m.turn.activity+"|"+moeStages[m.turn.stage]+"|"+m.turn.plugin]; of != "" {
		m.check.vague[of] = true
	} else if state != "In Progress" {
		m.check.strays++
	}
	_, err := m.stack.DynamoDB.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{TableName: aws.String(fakeaws.StatusTable), Key: m.key(),
		UpdateExpression: aws.String("set #activities.#activity.#stage.#type.#pluginName = :status"),
		ExpressionAttributeNames: map[string]string{"#activities": "activities", "#activity": m.turn.activity, "#stage": moeStages[m.turn.stage], "#type": m.list,
			"#pluginName": m.turn.plugin},
		ExpressionAttributeValues: fakeaws.Item{":status": &types.AttributeValueMemberM{Value: fakeaws.Item{"state": &types.AttributeValueMemberS{Value: state}}}}})
	if err != nil {
		m.trace("plugin %s cannot write: %v", m.turn.plugin, err) // the row of a later run may lack the activity
	}
}

func within(it fakeaws.Item, name string) fakeaws.Item {
	if v, is := it[name].(*types.AttributeValueMemberM); is {
		return v.Value
	}
	return nil
}

// rowSeen holds what a row knows of Drover's run.
type rowSeen struct {
	run   string
	tasks map[string]string // by activity|stage|plugin
}

func rowOf(it fakeaws.Item) rowSeen {
	own := within(it, "drover")
	out := rowSeen{str(own, "run_id"), map[string]string{}}
	tasks := within(own, "tasks")
	for name := range tasks {
		out.tasks[name] = str(within(tasks, name), "task_id")
	}
	return out
}
