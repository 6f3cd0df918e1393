"""Event patterns with the details of events that they match or not, as EventBridge evaluates them."""

from typing import Any

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Order Placed",
    "source": "shop.orders",
    "account": "123456789012",
    "time": "2026-11-22T18:00:05Z",
    "region": "us-east-1",
    "resources": ["arn:aws:s3:::one", "arn:aws:s3:::two"],
}
"""An event's fields other than its detail."""

_NEWS: dict[str, Any] = {
    "detail": {
        "$or": [
            {"status": [{"anything-but": "RUNNING"}]},
            {"count": [{"numeric": [">", 0]}]},
            {"name": [{"anything-but": {"suffix": "-1"}}]},
        ]
    }
}

CASES: tuple[tuple[dict[str, Any], dict[str, Any], bool], ...] = (
    # Pattern, detail, whether it matches.
    ({"source": ["shop.orders"]}, {}, True),
    ({"source": ["shop.returns", {"prefix": "shop.o"}]}, {}, True),
    ({"source": ["shop.orders"], "detail-type": ["Order Sent"]}, {}, False),
    ({"resources": ["arn:aws:s3:::two"]}, {}, True),
    ({"resources": [{"prefix": "arn:aws:sqs"}]}, {}, False),
    ({"detail": {"a": ["x"]}}, {"a": "x", "b": 1}, True),
    ({"detail": {"a": ["x"]}}, {"a": "X"}, False),
    ({"detail": {"a": ["x"]}}, {"a": ["y", "x"]}, True),
    ({"detail": {"a": ["x"]}}, {}, False),
    ({"detail": {"a": {"b": ["x"]}}}, {"a": {"b": "x"}}, True),
    ({"detail": {"a": {"b": ["x"]}}}, {"a": "x"}, False),
    ({"detail": {"a": {"b": ["x"], "c": [1]}}}, {"a": [{"b": "x", "c": 2}, {"b": "y", "c": 1}]}, False),
    ({"detail": {"a": {"b": ["x"], "c": [1]}}}, {"a": [{"b": "y", "c": 2}, {"b": "x", "c": 1}]}, True),
    ({"detail": {"a": [1]}}, {"a": 1}, True),
    ({"detail": {"a": [1]}}, {"a": "1"}, False),
    ({"detail": {"a": [1]}}, {"a": True}, False),
    ({"detail": {"a": [True, None]}}, {"a": None}, True),
    ({"detail": {"a": [True]}}, {"a": 1}, False),
    ({"detail": {"a": [None]}}, {}, False),
    ({"detail": {"a": [""]}}, {"a": ""}, True),
    ({"detail": {"a": [{"prefix": "in/"}]}}, {"a": "in/x"}, True),
    ({"detail": {"a": [{"prefix": "in/"}]}}, {"a": "IN/x"}, False),
    ({"detail": {"a": [{"prefix": {"equals-ignore-case": "in/"}}]}}, {"a": "IN/x"}, True),
    ({"detail": {"a": [{"suffix": ".csv"}]}}, {"a": "x.csv"}, True),
    ({"detail": {"a": [{"suffix": {"equals-ignore-case": ".csv"}}]}}, {"a": "x.CSV"}, True),
    ({"detail": {"a": [{"suffix": ".csv"}]}}, {"a": 1}, False),
    ({"detail": {"a": [{"equals-ignore-case": "x"}]}}, {"a": "X"}, True),
    ({"detail": {"a": [{"wildcard": "in/*/x.csv"}]}}, {"a": "in/2026/11/x.csv"}, True),
    ({"detail": {"a": [{"wildcard": "in/*/x.csv"}]}}, {"a": "in/x.csv"}, False),
    ({"detail": {"a": [{"wildcard": "x.*"}]}}, {"a": "xycsv"}, False),
    ({"detail": {"a": [{"wildcard": "\\*x*"}]}}, {"a": "*xy"}, True),
    ({"detail": {"a": [{"wildcard": "\\*x*"}]}}, {"a": "yxy"}, False),
    ({"detail": {"a": [{"anything-but": "x"}]}}, {"a": "y"}, True),
    ({"detail": {"a": [{"anything-but": "x"}]}}, {"a": "x"}, False),
    ({"detail": {"a": [{"anything-but": ["x", "y"]}]}}, {"a": "y"}, False),
    ({"detail": {"a": [{"anything-but": [1, 2]}]}}, {"a": 3}, True),
    ({"detail": {"a": [{"anything-but": "x"}]}}, {}, False),
    ({"detail": {"a": [{"anything-but": {"prefix": "in/"}}]}}, {"a": "out/x"}, True),
    ({"detail": {"a": [{"anything-but": {"prefix": "in/"}}]}}, {"a": "in/x"}, False),
    ({"detail": {"a": [{"anything-but": {"suffix": [".csv", ".txt"]}}]}}, {"a": "x.txt"}, False),
    ({"detail": {"a": [{"anything-but": {"equals-ignore-case": "x"}}]}}, {"a": "X"}, False),
    ({"detail": {"a": [{"anything-but": {"wildcard": "*/tmp/*"}}]}}, {"a": "in/tmp/x"}, False),
    ({"detail": {"a": [{"numeric": [">", 10]}]}}, {"a": 11}, True),
    ({"detail": {"a": [{"numeric": [">", 10]}]}}, {"a": 10}, False),
    ({"detail": {"a": [{"numeric": [">=", 0, "<", 5.5]}]}}, {"a": 5.4}, True),
    ({"detail": {"a": [{"numeric": [">=", 0, "<", 5.5]}]}}, {"a": 5.5}, False),
    ({"detail": {"a": [{"numeric": [">=", 0, "<=", 5.5]}]}}, {"a": 0}, True),
    ({"detail": {"a": [{"numeric": [">=", 0, "<=", 5.5]}]}}, {"a": 5.5}, True),
    ({"detail": {"a": [{"numeric": [">=", 0, "<=", 5.5]}]}}, {"a": 5.6}, False),
    ({"detail": {"a": [{"numeric": ["=", 3]}]}}, {"a": 3.0}, True),
    ({"detail": {"a": [{"numeric": [">", 10]}]}}, {"a": "11"}, False),
    ({"detail": {"a": [{"cidr": "10.0.0.0/24"}]}}, {"a": "10.0.0.255"}, True),
    ({"detail": {"a": [{"cidr": "10.0.0.0/24"}]}}, {"a": "10.0.1.0"}, False),
    ({"detail": {"a": [{"cidr": "10.0.0.0/24"}]}}, {"a": "none"}, False),
    ({"detail": {"a": [{"exists": True}]}}, {"a": None}, True),
    ({"detail": {"a": [{"exists": True}]}}, {"b": 1}, False),
    ({"detail": {"a": [{"exists": False}]}}, {"b": 1}, True),
    ({"detail": {"a": [{"exists": False}]}}, {"a": 1}, False),
    ({"detail": {"a": {"b": [{"exists": False}]}}}, {"c": 1}, True),
    ({"$or": [{"source": ["other"]}, {"detail": {"a": ["x"]}}]}, {"a": "x"}, True),
    ({"$or": [{"source": ["other"]}, {"detail": {"a": ["x"]}}]}, {"a": "y"}, False),
    ({"detail": {"b": [1], "$or": [{"a": ["x"]}, {"c": ["x"]}]}}, {"b": 1, "c": "x"}, True),
    # As in the engine's status rules.
    ({"detail": {"a": {"b": [{"exists": True}]}}}, {"a": [{"b": 1}]}, True),
    ({"detail": {"a": {"b": [{"exists": True}]}}}, {"a": []}, False),
    (_NEWS, {"status": "RUNNING", "count": 0, "name": "x-1"}, False),
    (_NEWS, {"status": "RUNNING", "count": None, "name": "x-1"}, False),
    (_NEWS, {"status": "RUNNING", "count": 0, "name": "x-2"}, True),
    (_NEWS, {"status": "RUNNING", "count": 1, "name": "x-1"}, True),
    (_NEWS, {"status": "FAILED", "count": 0, "name": "x-1"}, True),
)
