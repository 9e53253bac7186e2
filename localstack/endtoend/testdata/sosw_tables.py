"""Fills the tables of a sosw with its own code, and asks that code what it finds there. The answer is one JSON document.

    sosw_tables.py fill LABOURERS TASKS    creates the tables, with so many tasks of each labourer in each of sosw's states
    sosw_tables.py write LABOURERS TASKS   queues so many more of each, as sosw's scheduler does it, and answers with their number
    sosw_tables.py next LABOURERS          the payloads in the order in which sosw would invoke them, and those due for a retry, by labourer

LABOURERS are names, joined by commas.
"""

import json
import sys
import time
import uuid

import boto3
from sosw.labourer import Labourer
from sosw.managers.task import TaskManager

DELTA = 31557600


def main(what, names, *rest):
    labourers = [Labourer(id=name, arn=f"arn:aws:lambda:us-east-1:000000000000:function:{name}") for name in names.split(",")]
    db = boto3.client("dynamodb")
    if what == "fill":
        create_tables(db)
    manager = TaskManager(custom_config={"labourers": {labourer.id: {"arn": labourer.arn} for labourer in labourers}})
    for labourer in labourers:
        labourer.set_custom_attribute("start", int(time.time()))
    does = {"fill": fill, "write": write, "next": found}[what]
    print(json.dumps({labourer.id: does(manager, labourer, *map(int, rest)) for labourer in labourers}))


def create_tables(db):
    def table(name, *keys, **more):
        attributes = {"task_id": "S", "labourer_id": "S", "greenfield": "N", "desired_launch_time": "N", "closed_at": "N", "labourer_id_task_status": "S"}
        used = set(keys) | {k["AttributeName"] for kind in more.values() for i in kind for k in i["KeySchema"]}
        db.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=schema(*keys),
                        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in attributes.items() if n in used], **more)

    def schema(*keys):
        return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))]

    everything = {"ProjectionType": "ALL"}
    table("sosw_tasks", "task_id",
          GlobalSecondaryIndexes=[{"IndexName": "sosw_tasks_greenfield", "KeySchema": schema("labourer_id", "greenfield"), "Projection": everything}])
    table("sosw_closed_tasks", "task_id", GlobalSecondaryIndexes=[{"IndexName": "labourer_task_status_with_time",
          "KeySchema": schema("labourer_id_task_status", "closed_at"), "Projection": everything}])
    table("sosw_retry_tasks", "labourer_id", "task_id", LocalSecondaryIndexes=[{"IndexName": "labourer_id_greenfield",
          "KeySchema": schema("labourer_id", "desired_launch_time"), "Projection": everything}])


def fill(manager, labourer, n):
    """Returns how many tasks are in each state."""
    def create(**payload):
        return manager.create_task(labourer=labourer, name=str(uuid.uuid4()), **payload)["task_id"]

    def invoked():
        task_id = create(do="complete")
        manager.mark_task_invoked(labourer, manager.get_task_by_id(task_id))
        return task_id

    some = min(n, 6)
    for _ in range(some):  # what was invoked leaves the queue before the next is created, as sosw does it
        manager.move_task_to_retry_table(manager.get_task_by_id(invoked()), -60)
        invoked()
        late = invoked()
        manager.dynamo_db_client.update({"task_id": late}, attributes_to_update={"greenfield": int(time.time()) + DELTA - 4000})
        manager.dynamo_db_client.update({"task_id": invoked()}, attributes_to_update={"completed_at": int(time.time())})
    for _ in range(some):
        create(do="complete")
    queue_many(manager, labourer, n - some)
    manager.dynamo_db_client.put({"task_id": uuid.uuid4().hex, "labourer_id": labourer.id, "created_at": str(time.time()), "greenfield": 999, "payload": "[1]"})
    return {"queued": n, "retry": 2 * some, "running": some, "completed": some, "poison": 1}


def write(manager, labourer, n):
    for _ in range(n):
        manager.create_task(labourer=labourer, name=str(uuid.uuid4()), do="complete")
    return n


def queue_many(manager, labourer, n):
    """Queues tasks behind the others. create_task reads the queue for each of them, which takes too long for thousands."""
    place = manager.get_newest_greenfield_for_labourer(labourer)
    table = boto3.resource("dynamodb").Table("sosw_tasks")
    with table.batch_writer() as batch:
        for k in range(n):
            batch.put_item(Item={"task_id": uuid.uuid4().hex, "labourer_id": labourer.id, "created_at": int(time.time()), "greenfield": place + 1000 * (k + 1),
                                 "payload": manager.construct_payload_for_task(name=str(uuid.uuid4()), do="complete")})


def found(manager, labourer):
    queue = manager.get_next_for_labourer(labourer, cnt=1_000_000)
    due = manager.get_tasks_to_retry_for_labourer(labourer)
    return {"queue": [task.get("payload") for task in queue], "retry": len(due)}


if __name__ == "__main__":
    main(*sys.argv[1:])
