"""API Gateway: a request arrives as it was sent, so that its signature can be verified."""

import hashlib
import json
import os
from http import HTTPStatus

from tools.http_api import post
from tools.verify.account import Account
from tools.verify.lab import DidNotHoldError, Lab
from tools.verify.model import Check
from tools.verify.templates import Part, arn_of, function, ref, role_of_functions, template
from treadle.engine.tick.webhook_receiver import MAX_BODY

REQUESTS = (
    "API Gateway developer guide, Create AWS Lambda proxy integrations for HTTP APIs: "
    "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"
)

HEADER = "X-Hub-Signature-256"

ECHO = """
import base64
import hashlib
import json


def handler(event, context):
    body = event.get("body") or ""
    sent = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    found = {
        "digest": hashlib.sha256(sent).hexdigest(),
        "headers": sorted(event["headers"]),
        "id": event["requestContext"]["requestId"],
    }
    return {"statusCode": 202, "body": json.dumps(found)}
"""
"""A function that returns the digest of what has arrived."""

BODIES = (
    ("application/json", '{"name": "J\\u00f6rg Jörg \\"\\/\\n", "list": [1, 2.50, 1e3] }\r\n'.encode()),
    ("application/x-www-form-urlencoded", b"a=1+2&a=%2F&b="),
    ("text/plain; charset=utf-8", "é €\n".encode()),
    ("application/octet-stream", bytes(range(256))),
    ("application/octet-stream", os.urandom(MAX_BODY)),
)


def endpoint(_: Account) -> Part:
    """Return an HTTP API with one route, as in the block of a webhook sensor."""
    api = {"ApiId": ref("Api")}
    return template(
        {
            "Role": role_of_functions(),
            "Function": function(ECHO, "Role"),
            "Api": {
                "Type": "AWS::ApiGatewayV2::Api",
                "Properties": {"Name": ref("AWS::StackName"), "ProtocolType": "HTTP"},
            },
            "Integration": {
                "Type": "AWS::ApiGatewayV2::Integration",
                "Properties": {
                    **api,
                    "IntegrationType": "AWS_PROXY",
                    "IntegrationUri": arn_of("Function"),
                    "PayloadFormatVersion": "2.0",
                },
            },
            "Route": {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {
                    **api,
                    "RouteKey": "POST /",
                    "Target": {"Fn::Sub": "integrations/${Integration}"},
                },
            },
            "Stage": {
                "Type": "AWS::ApiGatewayV2::Stage",
                "Properties": {**api, "StageName": "$default", "AutoDeploy": True},
            },
            "Permission": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunction",
                    "FunctionName": ref("Function"),
                    "Principal": "apigateway.amazonaws.com",
                    "SourceArn": {
                        "Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"
                    },
                },
            },
        },
        {"Endpoint": {"Fn::GetAtt": ["Api", "ApiEndpoint"]}},
    )


def unchanged(lab: Lab) -> str:
    """Send bodies of several types, and compare what the function received."""
    for kind, body in BODIES:
        answer = post(lab.outputs["Endpoint"], body, {"Content-Type": kind, HEADER: "sha256=0"})
        if answer.status != HTTPStatus.ACCEPTED:
            text = f"{len(body):,} bytes of {kind} got status {answer.status}: {answer.body[:200]}"
            raise DidNotHoldError(text)
        found = json.loads(answer.body)
        if found["digest"] != hashlib.sha256(body).hexdigest():
            raise DidNotHoldError(f"{len(body):,} bytes of {kind} arrived as others")
        if HEADER.lower() not in found["headers"] or not found["id"]:
            raise DidNotHoldError(f"the header {HEADER} arrived as one of {found['headers']}")
    return f"{len(BODIES)} bodies, up to {MAX_BODY:,} bytes, arrived as they were sent"


CHECKS = (
    Check(
        "request-bytes",
        "An HTTP API delivers the bytes of a request to a function, and its headers in lower case",
        "the signatures of webhook sensors, which cover the body as it was sent",
        REQUESTS,
        unchanged,
        endpoint,
        dollars=0.001,
    ),
)
