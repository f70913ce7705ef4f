"""Lists that come in pages are read to their end, and refusals of unknown parameters are told from others."""

import pytest
from botocore.exceptions import ClientError

from educloud_lab.adapters.ec2.cloud import _pages
from educloud_lab.adapters.ec2.errors import code_of, does_not_bind, translated
from educloud_lab.domain.errors import CloudError, CloudRefusedError


def test_every_page_is_asked_for():
    pages = {None: (["a"], "two"), "two": (["b"], "three"), "three": (["c"], None)}
    asked = []

    def look(NextToken=None):  # noqa: N803 - botocore's name
        asked.append(NextToken)
        items, token = pages[NextToken]
        return {"Volumes": items} | ({"NextToken": token} if token else {})

    assert _pages(look, "Volumes") == ["a", "b", "c"]
    assert asked == [None, "two", "three"]


def refused(code, message):
    with pytest.raises(CloudError) as caught, translated():
        raise ClientError(
            {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "RunInstances"
        )
    return caught.value


def test_a_parameter_that_does_not_bind():
    text = "Failed to bind the following fields:\nTagSpecification.1.ResourceType = instance\n"
    error = refused("400 Bad Request", text)
    assert code_of(error) == "400 Bad Request"
    assert does_not_bind(error, "TagSpecification")
    assert not does_not_bind(error, "ClientToken")
    assert not does_not_bind(refused("InvalidParameterValue", "TagSpecification is odd"), "TagSpecification")
    assert not does_not_bind(CloudRefusedError("TagSpecification"), "TagSpecification")
    assert code_of(CloudRefusedError("x")) == ""
