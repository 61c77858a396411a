"""The service through a client: lists are the model's, items come and go, a mistake has its status and field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
from service_cases import Case, TestClient, make_case

from milk_np.service.app import make_app
from milk_np.service.core import Service
from milk_np.service.guard import Limits
from milk_np.service.metrics import Metrics

KEY = "a key of many letters"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("model"))


@pytest.fixture
def service(case: Case, tmp_path: Path) -> Service:
    return case.service(tmp_path / "journal.jsonl")


def client_of(service: Service, **limits: Any) -> TestClient:
    return TestClient(make_app(service, Limits(**limits)), base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with client_of(service) as client:
        yield client


def lists(answer: Any) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    return [[entry["id"] for entry in each["items"]] for each in answer.json()["lists"]]


@pytest.mark.parametrize("candidates", ["new", "all"])
def test_lists_are_those_of_the_model(case: Case, client: TestClient, candidates: str) -> None:
    found = client.post("/recommend", json={"users": ["u3", "u1"], "k": 7, "candidates": candidates})
    expected = case.model.recommend(["u3", "u1"], 7, candidates=candidates)
    assert lists(found) == expected.found.tolist()
    (first,) = [entry["score"] for entry in found.json()["lists"][0]["items"][:1]]
    assert np.float32(first) == expected.score[0, 0]
    found = client.post("/recommend", json={"histories": [["i1", "i2"]], "k": 7, "candidates": candidates})
    expected = case.model.recommend_for_histories([["i1", "i2"]], 7, candidates=candidates)
    assert lists(found) == expected.found.tolist()


def test_users_for_items_and_similar_items(case: Case, client: TestClient) -> None:
    item = str(case.ds.item_ids[case.ds.new_items()[0]])  # type: ignore[index]
    found = client.post("/users", json={"items": [item, "i0"], "k": 4})
    assert lists(found) == case.model.recommend_users([item, "i0"], 4).found.tolist()
    found = client.post("/similar", json={"items": ["i0"], "k": 4})
    assert lists(found) == case.model.similar_items(["i0"], 4).found.tolist()


def test_candidates_exclusions_and_what_was_seen(case: Case, client: TestClient) -> None:
    some = [f"i{n}" for n in range(0, 80, 3)]
    asked = {"users": ["u1"], "k": 50, "candidates": some, "exclude": some[:4]}
    (found,) = lists(client.post("/recommend", json=asked))
    seen = set(case.model.catalogue.items.words(case.ds.csr(0)[1][slice(*case.ds.csr(0)[0][1:3])].tolist()))
    assert set(found) == set(some) - set(some[:4]) - seen
    (found,) = lists(client.post("/recommend", json={**asked, "exclude_seen": False}))
    assert set(found) == set(some) - set(some[:4])


def test_items_are_added_replaced_and_removed(case: Case, client: TestClient) -> None:
    rows = {name: case.ds.features[name][5].tolist() for name in case.ds.modalities}
    done = client.put("/items", json={"items": [{"id": "fresh", "features": rows}, {"id": 7, "features": rows}]})
    assert done.json() == {"items": 2, "lost": []}
    (alike,) = lists(client.post("/similar", json={"items": ["fresh"], "k": 2}))
    assert "7" in alike
    assert "fresh" in lists(client.post("/recommend", json={"users": ["u1"], "k": 1000}))[0]
    assert len(lists(client.post("/users", json={"items": ["fresh"], "k": 3}))[0]) == 3
    half = {"image": rows["image"], "text": None}
    assert client.put("/items", json={"items": [{"id": "fresh", "features": half}]}).status_code == 200
    expected = case.model.encode_items({"image": np.array([rows["image"]])})
    assert client.request("DELETE", "/items", json={"items": ["7", "i4"]}).json()["items"] == 2
    found = lists(client.post("/recommend", json={"users": ["u1"], "k": 1000, "candidates": "all"}))[0]
    assert not {"7", "i4"} & set(found)
    (scored,) = [
        each["score"]
        for each in client.post("/recommend", json={"users": ["u1"], "k": 1000}).json()["lists"][0]["items"]
        if each["id"] == "fresh"
    ]
    np.testing.assert_allclose(scored, case.model.user_factors(np.array([1], np.int32))[0] @ expected[0], rtol=1e-5)


def test_a_reload_keeps_what_was_added_and_removed(case: Case, service: Service, client: TestClient) -> None:
    service.put({"fresh": {"text": case.ds.features["text"][1].tolist()}})
    service.remove(["i9"])
    before = service.model
    assert client.post("/reload").json() == {"items": case.ds.n_items, "lost": []}
    assert service.model is not before
    found = lists(client.post("/recommend", json={"users": ["u1"], "k": 1000, "candidates": "all"}))[0]
    assert ("fresh" in found, "i9" in found) == (True, False)


def test_workers_share_changes_and_a_journal_outlives_them(case: Case, tmp_path: Path) -> None:
    one, other = (case.service(tmp_path / "shared.jsonl") for _ in range(2))
    one.put({"fresh": {"text": case.ds.features["text"][1].tolist()}})
    other.remove(["i3"])
    one.reload()
    with client_of(other) as client:
        assert "fresh" in lists(client.post("/recommend", json={"users": ["u1"], "k": 1000}))[0]
    one.changes.catch_up()
    later = case.service(tmp_path / "shared.jsonl")
    for each in (one, other, later):
        assert ("fresh" in each.all, "i3" in each.all, len(each.new)) == (True, False, len(one.new))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {"users": ["u1", "nobody"]}, "users.1"),
        ("/recommend", {"histories": [["i1"], ["i2", "x"]]}, "histories.1.1"),
        ("/recommend", {"users": ["u1"], "candidates": ["i1", "x"]}, "candidates.1"),
        ("/recommend", {"users": ["u1"], "k": 0}, "k"),
        ("/recommend", {"users": ["u1"], "k": 1001}, "k"),
        ("/recommend", {"users": ["u1"], "k": "ten"}, "k"),
        ("/recommend", {"users": []}, "users"),
        ("/recommend", {"users": [""]}, "users.0"),
        ("/recommend", {"users": [None]}, "users.0"),
        ("/recommend", {"users": ["u1"] * 257}, "users"),
        ("/recommend", {"users": ["u1"], "topk": 3}, "topk"),
        ("/recommend", {}, "body"),
        ("/recommend", {"users": ["u1"], "histories": [["i1"]]}, "body"),
        ("/users", {"items": ["i1", "x"]}, "items.1"),
        ("/similar", {"items": ["x"]}, "items.0"),
        ("/look", {"user": "nobody"}, "user"),
        ("/without", {"user": "u1", "item": "x", "without": []}, "item"),
        ("/without", {"user": "u1", "item": "i1", "without": ["image", "text"]}, "items.0.features"),
    ],
)
def test_a_mistake_names_its_field(client: TestClient, path: str, body: Any, field: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], [each["field"] for each in told["errors"]]) == (422, [field])
    assert told["detail"]


@pytest.mark.parametrize(
    ("features", "field"),
    [
        ({"text": [1.0]}, "items.0.features.text"),
        ({"sound": [1.0]}, "items.0.features.sound"),
        ({"text": None}, "items.0.features"),
        ({}, "items.0.features"),
        ({"text": ["a", 1, 2, 3]}, "items.0.features.text.0"),
    ],
)
def test_features_that_cannot_be_used_change_nothing(
    service: Service, client: TestClient, features: Any, field: str
) -> None:
    answer = client.put("/items", json={"items": [{"id": "fresh", "features": features}]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert ("fresh" in service.all, Path(service.journal).read_text()) == (False, "")


def test_what_is_no_request_of_the_service(client: TestClient) -> None:
    def status(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.headers["content-type"]

    told = "application/problem+json"
    json_type = {"content-type": "application/json"}
    assert status(client.post("/recommend", content=b"{", headers=json_type)) == (422, told)
    assert status(client.post("/recommend", content=b'{"users":["u1"],"k":NaN}', headers=json_type)) == (422, told)
    assert status(client.post("/recommend", content=b"{}", headers={"content-type": "text/plain"})) == (415, told)
    assert status(client.get("/nothing")) == (404, told)
    assert status(client.get("/recommend")) == (405, told)
    assert status(client.get("/health", headers={"host": "elsewhere.example"})) == (421, told)


def test_large_bodies_are_refused_whatever_their_headers_say(service: Service) -> None:
    with client_of(service, body=200) as client:
        body = json.dumps({"users": ["u1"], "exclude": ["x" * 200]}).encode()
        assert client.post("/recommend", content=body, headers={"content-type": "application/json"}).status_code == 413

        def parts() -> Iterator[bytes]:
            yield from (body[n : n + 20] for n in range(0, len(body), 20))

        chunked = client.post("/recommend", content=parts(), headers={"content-type": "application/json"})
        assert (chunked.status_code, chunked.json()["title"]) == (413, "Content Too Large")
        assert client.post("/recommend", json={"users": ["u1"]}).status_code == 200


def test_a_key_is_needed_where_there_is_one(service: Service) -> None:
    with client_of(service, key=KEY) as client:
        body = {"users": ["u1"]}
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": ""}, {"authorization": f"Basic {KEY}"}):
            answer = client.post("/recommend", json=body, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
            assert client.post("/recommend", json=body, headers={**headers, "host": "a.example"}).status_code == 200
        assert [client.get(path).status_code for path in ("/health", "/", "/docs", "/metrics")] == [200, 200, 200, 401]


def test_metrics_count_requests_of_all_workers(service: Service) -> None:
    metrics = Metrics(("/health", "other"), workers=2)
    with TestClient(make_app(service, Limits(), metrics), base_url="http://localhost") as client:
        for path in ("/health", "/health", "/nothing"):
            client.get(path)
        metrics.worker = 1
        client.get("/health")
    lines = metrics.text({"milk_items": 5}).splitlines()
    assert 'milk_requests_total{route="/health",status="2xx"} 3' in lines
    assert 'milk_requests_total{route="other",status="4xx"} 1' in lines
    assert 'milk_request_seconds_bucket{route="/health",le="+Inf"} 3' in lines
    assert 'milk_request_seconds_count{route="/health"} 3' in lines
    assert "milk_items 5" in lines


def test_reasons_are_what_the_score_loses(case: Case, client: TestClient) -> None:
    history = ["i1", "i2", "i5"]
    told = client.post("/look", json={"history": history, "k": 2}).json()
    assert (told["history"], told["how"]) == (3, "what the score loses without it")
    item = told["items"][0]
    (target,) = case.model.item_factors(case.model.catalogue.items.numbers([item["id"]]))
    whole, *without = (
        case.model.encode_users([case.model.catalogue.items.numbers(part)])[0] @ target
        for part in (history, ["i2", "i5"], ["i1", "i5"], ["i1", "i2"])
    )
    expected = {name: whole - score for name, score in zip(history, without, strict=True)}
    assert {each["id"]: pytest.approx(each["weight"], abs=1e-5) for each in item["reasons"]} == expected
    assert set(item["modalities"]) <= {"image", "text"}


def test_an_item_moves_without_a_modality(case: Case, client: TestClient) -> None:
    (best,) = lists(client.post("/recommend", json={"users": ["u1"], "k": 1}))[0]
    moved = client.post("/without", json={"user": "u1", "item": best, "without": ["image"]}).json()
    row = case.ds.features["text"][int(best[1:])][None]
    (vector,) = case.model.encode_items({"text": row})
    assert (moved["place"], moved["place_without"] >= 1) == (1, True)
    expected = case.model.user_factors(np.array([1], np.int32))[0] @ vector
    assert moved["score_without"] == pytest.approx(expected, rel=1e-4)
    same = client.post("/without", json={"user": "u1", "item": best, "without": []}).json()
    assert (same["place"], same["place_without"]) == (1, 1)


def test_the_openapi_document_describes_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {"/recommend", "/users", "/similar", "/items", "/reload", "/health", "/metrics"} <= set(document["paths"])
    page = client.get("/docs").text
    for path in document["paths"]:
        assert path in page
    assert "http://" not in page.replace("http://localhost", "")
