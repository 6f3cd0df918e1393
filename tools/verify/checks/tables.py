"""DynamoDB: the condition keys that limit a sensor to its own items, and what a failed condition returns."""

from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from tools.verify.account import Account, client_of
from tools.verify.lab import DidNotHoldError, Lab, expect_denied
from tools.verify.model import Check
from tools.verify.templates import (
    Part,
    arn_of,
    document,
    ref,
    role,
    statement,
    table,
    template,
    trusting_caller,
)

FINE_GRAINED = (
    "Amazon DynamoDB developer guide, Using IAM policy conditions for fine-grained access control: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html"
)
TRANSACTIONS = (
    "Amazon DynamoDB developer guide, Using IAM with DynamoDB transactions: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html"
)
COLUMNS = (
    "IAM user guide, Amazon DynamoDB: Allows access to specific attributes: "
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_dynamodb_attributes.html"
)
ALL_OLD = (
    "Amazon DynamoDB API reference, UpdateItem, ReturnValuesOnConditionCheckFailure, and CancellationReason: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html"
)
PARTIQL = (
    "Amazon DynamoDB API reference, BatchExecuteStatement, and developer guide, IAM security policies with PartiQL: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html"
)
VARIABLES = (
    "IAM user guide, IAM policy elements: Variables and tags: "
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html"
)

NO_LEADING_KEYS = "the local cloud does not set dynamodb:LeadingKeys"
NO_ATTRIBUTES = "the local cloud sets neither dynamodb:Attributes nor dynamodb:Select"

WRITES = (
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:PartiQLInsert",
)
READABLE = ["id", "status"]

KEY = {"S": "alpha"}


def put(table_name: str, key: str, **values: str) -> Part:
    """Return one item of a transaction: a put.

    Args:
        table_name: of the table.
        key: of the item.
        values: its other attributes.
    """
    item = {name: {"S": value} for name, value in {"id": key, **values}.items()}
    return {"Put": {"TableName": table_name, "Item": item}}


def own_items(account: Account) -> Part:
    """Return a table, and a role that may write only the items `alpha` and `alpha#cursor`."""
    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["alpha", "alpha#cursor"]}}
    keyless = {"Null": {"dynamodb:LeadingKeys": "true"}}
    return template(
        {
            "Table": table(),
            "Role": role(
                trusting_caller(account),
                statement(WRITES, arn_of("Table"), own),
                statement(WRITES, arn_of("Table"), keyless, "Deny"),
            ),
        },
        {"Table": ref("Table"), "Role": arn_of("Role")},
    )


def executed(dynamodb: Any, *statements: Part) -> Any:
    """Execute PartiQL statements in a batch; return the responses to them.

    Raises:
        ClientError: if the batch, or one of the statements, is denied.
    """
    responses = dynamodb.batch_execute_statement(Statements=list(statements))["Responses"]
    for each in responses:
        if each.get("Error", {}).get("Code") == "AccessDenied":
            denial: Any = {"Error": {**each["Error"], "Code": "AccessDeniedException"}}
            raise ClientError(denial, "BatchExecuteStatement")
    return responses


def inserted(dynamodb: Any, table_name: str, *keys: str) -> Any:
    """Insert items of a table by one batch of PartiQL statements; return the responses to them."""
    statement = f"INSERT INTO \"{table_name}\" VALUE {{'id': ?}}"
    return executed(dynamodb, *({"Statement": statement, "Parameters": [{"S": key}]} for key in keys))


def leading_keys(lab: Lab) -> str:
    """Write own items by a transaction and by PartiQL, and be denied another's item."""
    dynamodb, name = client_of(lab.acting_as(lab.outputs["Role"]), "dynamodb"), lab.outputs["Table"]
    cursor = {"TableName": name, "Key": {"id": {"S": "alpha#cursor"}}, "UpdateExpression": "SET seen = :one"}
    own = [put(name, "alpha"), {"Update": {**cursor, "ExpressionAttributeValues": {":one": {"S": "1"}}}}]

    def commit(*items: Part) -> object:
        return dynamodb.transact_write_items(TransactItems=list(items))

    lab.once_allowed(lambda: commit(*own), "a transaction over the role's own items is denied")
    expect_denied(lambda: commit(put(name, "beta")), "a transaction over another's item")
    expect_denied(lambda: commit(*own, put(name, "beta")), "a transaction with another's item among own ones")
    lab.once_allowed(
        lambda: inserted(dynamodb, name, "alpha"), "an insert of an own item by PartiQL is denied"
    )
    expect_denied(lambda: inserted(dynamodb, name, "beta"), "an insert of another's item by PartiQL")
    expect_denied(
        lambda: inserted(dynamodb, name, "alpha", "beta"), "an insert of another's item beside an own one"
    )
    return (
        "own items: written; another's item, alone or among own ones: denied, by transactions and by PartiQL"
    )


def prefixed_items(account: Account) -> Part:
    """Return a table, and a role that may read only items whose key begins with `#sets/`."""
    prefixed = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["#sets/*"]}}
    reads = ("dynamodb:BatchGetItem", "dynamodb:Query")
    granted = statement(reads, arn_of("Table"), prefixed)
    return template(
        {"Table": table(), "Role": role(trusting_caller(account), granted)},
        {"Table": ref("Table"), "Role": arn_of("Role")},
    )


def keys_by_prefix(lab: Lab) -> str:
    """Query and read items under the prefix, and be denied those under another key."""
    dynamodb, name = client_of(lab.acting_as(lab.outputs["Role"]), "dynamodb"), lab.outputs["Table"]

    def query(key: str) -> object:
        return dynamodb.query(
            TableName=name, KeyConditionExpression="id = :id", ExpressionAttributeValues={":id": {"S": key}}
        )

    def batch(*keys: str) -> object:
        return dynamodb.batch_get_item(RequestItems={name: {"Keys": [{"id": {"S": key}} for key in keys]}})

    lab.once_allowed(lambda: query("#sets/customers"), "a query of an item under the prefix is denied")
    lab.once_allowed(lambda: batch("#sets/a", "#sets/b"), "a batch read of items under the prefix is denied")
    expect_denied(lambda: query("orders"), "a query of another item")
    expect_denied(
        lambda: batch("#sets/a", "orders"), "a batch read with another item among those under the prefix"
    )
    return "items under the prefix: read; another item, alone or among them: denied"


def run_columns(denial: Part) -> Any:
    """Make the template of a table and a role that may read only the columns `id` and `status`.

    Args:
        denial: the condition under which a read is denied.
    """

    def made(account: Account) -> Part:
        allowed = {"ForAllValues:StringEquals": {"dynamodb:Attributes": READABLE}}
        reads = ("dynamodb:BatchGetItem", "dynamodb:GetItem")
        return template(
            {
                "Table": table(),
                "Role": role(
                    trusting_caller(account),
                    statement(reads, arn_of("Table"), allowed),
                    statement(reads, arn_of("Table"), denial, "Deny"),
                ),
            },
            {"Table": ref("Table"), "Role": arn_of("Role")},
        )

    return made


def columns(lab: Lab) -> str:
    """Read the allowed columns, and be denied the whole item and a further column."""
    name = lab.outputs["Table"]
    lab.client("dynamodb").put_item(
        TableName=name, Item={"id": KEY, "status": {"S": "SUCCESS"}, "run_config": {"S": "secret"}}
    )
    dynamodb = client_of(lab.acting_as(lab.outputs["Role"]), "dynamodb")

    def batch(**projection: Any) -> object:
        return dynamodb.batch_get_item(RequestItems={name: {"Keys": [{"id": KEY}], **projection}})

    def single(**projection: Any) -> object:
        return dynamodb.get_item(TableName=name, Key={"id": KEY}, **projection)

    def of(*names: str) -> Part:
        return {
            "ProjectionExpression": ", ".join(f"#{each}" for each in names),
            "ExpressionAttributeNames": {f"#{each}": each for each in names},
        }

    for label, read in (("BatchGetItem", batch), ("GetItem", single)):
        lab.once_allowed(partial(read, **of(*READABLE)), f"{label} of the allowed columns is denied")
        expect_denied(read, f"{label} without a projection")
        expect_denied(partial(read, **of("id", "run_config")), f"{label} of run_config")
    return "BatchGetItem and GetItem: allowed columns are read; without a projection, and run_config: denied"


def tagged_roles(account: Account) -> Part:
    """Return two roles with one managed policy, which takes the items that they may use from their tags."""
    own = {
        "ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": [
                "${aws:PrincipalTag/treadle:sensor}",
                "${aws:PrincipalTag/treadle:sensor}#cursor",
            ]
        }
    }
    keyless = {"Null": {"dynamodb:LeadingKeys": "true"}}
    policy = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "PolicyDocument": document(
                statement(WRITES, arn_of("Table"), own), statement(WRITES, arn_of("Table"), keyless, "Deny")
            )
        },
    }
    roles = {
        f"{name.capitalize()}Role": role(
            trusting_caller(account),
            ManagedPolicyArns=[ref("Policy")],
            Tags=[{"Key": "treadle:sensor", "Value": name}],
        )
        for name in ("alpha", "beta")
    }
    outputs = {"Table": ref("Table"), **{name: arn_of(name) for name in roles}}
    return template({"Table": table(), "Policy": policy, **roles}, outputs)


def tag_in_leading_keys(lab: Lab) -> str:
    """Let each of two roles use its own item, and be denied the other's."""
    name = lab.outputs["Table"]
    for own, other in (("alpha", "beta"), ("beta", "alpha")):
        session = lab.acting_as(lab.outputs[f"{own.capitalize()}Role"])
        dynamodb = client_of(session, "dynamodb")
        for key in (own, f"{own}#cursor"):
            write = partial(dynamodb.put_item, TableName=name, Item={"id": {"S": key}})
            lab.once_allowed(write, f"the role with the tag {own} is denied the item {key}")
        foreign = partial(dynamodb.put_item, TableName=name, Item={"id": {"S": other}})
        expect_denied(foreign, f"PutItem of {other} for the tag {own}")
    return "each of two roles wrote the items of its tag, and was denied the other's"


def inserting_role(account: Account) -> Part:
    """Return a table, and a role that may insert items by PartiQL, and nothing else."""
    granted = statement(("dynamodb:PartiQLInsert",), arn_of("Table"))
    return template(
        {"Table": table(), "Role": role(trusting_caller(account), granted)},
        {"Table": ref("Table"), "Role": arn_of("Role")},
    )


def batch_of_inserts(lab: Lab) -> str:
    """Insert items in batches, one of them under a taken key, and be denied another statement."""
    dynamodb, name = client_of(lab.acting_as(lab.outputs["Role"]), "dynamodb"), lab.outputs["Table"]

    insert = partial(inserted, dynamodb, name)
    text = f'UPDATE "{name}" SET seen=? WHERE id=?'  # noqa: S608 - the name of its own table
    update = {"Statement": text, "Parameters": [{"S": "1"}, KEY]}
    lab.once_allowed(lambda: insert("alpha", "beta"), "a batch of inserts is denied")
    taken, applied = insert("alpha", "gamma")
    if taken.get("Error", {}).get("Code") != "DuplicateItem" or "Error" in applied:
        raise DidNotHoldError(f"a taken key and a free one in a batch gave {taken} and {applied}")
    expect_denied(lambda: executed(dynamodb, update), "a batch of an update")
    return "taken key: DuplicateItem, and the other statement is applied; an update: denied"


def failed_condition(lab: Lab) -> str:
    """Fail conditions, and find the stored item in the responses."""
    dynamodb, name = lab.client("dynamodb"), lab.outputs["Table"]
    stored = {"id": KEY, "owner": {"S": "first"}}
    dynamodb.put_item(TableName=name, Item=stored)
    condition = {
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    update = {
        "TableName": name,
        "Key": {"id": KEY},
        "UpdateExpression": "SET #owner = :second",
        "ExpressionAttributeNames": {"#owner": "owner"},
        "ExpressionAttributeValues": {":second": {"S": "second"}},
    }
    single = _failure(lambda: dynamodb.put_item(TableName=name, Item=stored, **condition))
    updated = _failure(lambda: dynamodb.update_item(**update, **condition))
    several = _failure(
        lambda: dynamodb.transact_write_items(TransactItems=[{"Update": {**update, **condition}}])
    )
    replaced = dynamodb.update_item(**update, ReturnValues="ALL_OLD").get("Attributes")
    shown = {
        "PutItem": single.get("Item"),
        "UpdateItem": updated.get("Item"),
        "TransactWriteItems": several.get("CancellationReasons", [{}])[0].get("Item"),
        "UpdateItem with ReturnValues ALL_OLD": replaced,
    }
    wrong = [f"{name}: {item}" for name, item in shown.items() if item != stored]
    if wrong:
        raise DidNotHoldError(f"the stored item is not in the answer of {'; '.join(wrong)}")
    return (
        "PutItem, UpdateItem and TransactWriteItems return the whole stored item, and UpdateItem the old one"
    )


def _failure(call: Any) -> Any:
    try:
        call()
    except ClientError as error:
        return error.response
    raise DidNotHoldError("a write whose condition does not hold was accepted")


CHECKS = (
    Check(
        "leading-keys",
        "Items of TransactWriteItems and of PartiQL are authorized with dynamodb:LeadingKeys",
        "an evaluator's commit of its ticks (statements OwnState, OwnTicks and NeverWithoutKey)",
        TRANSACTIONS,
        leading_keys,
        own_items,
        not_local=NO_LEADING_KEYS,
    ),
    Check(
        "keys-by-prefix",
        "Query and BatchGetItem are limited to a prefix of keys by StringLike on dynamodb:LeadingKeys",
        "what an evaluator may read of dynamic partitions (statement Partitions)",
        FINE_GRAINED,
        keys_by_prefix,
        prefixed_items,
        not_local=NO_LEADING_KEYS,
    ),
    Check(
        "columns-by-attributes",
        "A denial where dynamodb:Attributes is missing stops reads without a projection",
        "what an evaluator may read of runs (statements KnownRuns and NeverWholeRuns)",
        FINE_GRAINED,
        columns,
        run_columns({"Null": {"dynamodb:Attributes": "true"}}),
        not_local=NO_ATTRIBUTES,
    ),
    Check(
        "columns-by-select",
        "A denial unless dynamodb:Select is SPECIFIC_ATTRIBUTES stops reads without a projection",
        "the alternative to the denial by dynamodb:Attributes",
        COLUMNS,
        columns,
        run_columns({"StringNotEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}}),
        not_local=NO_ATTRIBUTES,
    ),
    Check(
        "tag-in-leading-keys",
        "${aws:PrincipalTag/treadle:sensor} in a managed policy limits each role to the items of its tag",
        "one managed policy for all evaluators",
        VARIABLES,
        tag_in_leading_keys,
        tagged_roles,
        not_local="the local cloud substitutes no variables in policies, and does not set dynamodb:LeadingKeys",
    ),
    Check(
        "all-old",
        "A failed condition returns the stored item where ALL_OLD is requested",
        "claims of ticks and runs, which read what was there from the refusal",
        ALL_OLD,
        failed_condition,
        lambda _: template({"Table": table()}, {"Table": ref("Table")}),
    ),
    Check(
        "batch-of-inserts",
        "Each INSERT of a batch is applied or refused by itself, under dynamodb:PartiQLInsert",
        "how DISPATCH creates many runs (statement Runs of DispatchRole and ReconcileRole)",
        PARTIQL,
        batch_of_inserts,
        inserting_role,
    ),
)
