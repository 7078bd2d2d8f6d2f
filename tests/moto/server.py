"""A stand-in for AWS: moto's server, and what it lacks for this project.

server.py HOST PORT serves; with --attached as well, until standard input is
closed. It proves that Terraform's and the agent's requests make sense, not that
AWS takes them.
Each function below mends one gap of moto 5.2, named in its first line.
"""

import json
import logging
import os
import sys
import threading

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.responses import ActionResult
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.models import FakeBucket
from moto.server import main


def autoscaling_tags():
    """Application Auto Scaling has no tags."""
    tags = {}

    def list_tags_for_resource(self):
        return ActionResult({"Tags": tags.get(self._get_param("ResourceARN"), {})})

    def tag_resource(self):
        tags.setdefault(self._get_param("ResourceARN"), {}).update(self._get_param("Tags"))
        return ActionResult({})

    def untag_resource(self):
        for key in self._get_param("TagKeys"):
            tags.get(self._get_param("ResourceARN"), {}).pop(key, None)
        return ActionResult({})

    for action in (list_tags_for_resource, tag_resource, untag_resource):
        setattr(ApplicationAutoScalingResponse, action.__name__, action)


def group_descriptions():
    """A security group's rule that names another group forgets its description."""
    SecurityGroupRule.description = property(
        lambda rule: (rule.ip_range or rule.source_group).get("Description")
    )


def service_settings():
    """An ECS service forgets most of how it is to be deployed."""
    kept = {
        "availability_zone_rebalancing": "availabilityZoneRebalancing",
        "capacity_provider_strategy": "capacityProviderStrategy",
        "deployment_configuration": "deploymentConfiguration",
        "enable_ecs_managed_tags": "enableECSManagedTags",
    }
    create = EC2ContainerServiceResponse.create_service

    update = EC2ContainerServiceResponse.update_service

    def keep(self, service):
        for attribute, parameter in kept.items():
            value = self._get_param(parameter)
            if isinstance(value, dict):  # what an update leaves out stays as it is
                value = {**(getattr(service, "was", {}).get(attribute) or {}), **value}
            if value is not None:
                setattr(service, attribute, value)
        service.was = {attribute: getattr(service, attribute, None) for attribute in kept}

    def create_service(self):
        result = create(self)
        service = result.result["service"]
        keep(self, service)
        if self._get_param("capacityProviderStrategy"):
            service.launch_type = None  # AWS has one or the other
        return result

    def update_service(self):
        result = update(self)
        keep(self, result.result["service"])
        return result

    EC2ContainerServiceResponse.create_service = create_service
    EC2ContainerServiceResponse.update_service = update_service


def deleted_clusters():
    """A deleted ECS cluster is still listed."""

    def list_clusters(self):
        return [c.arn for c in self.clusters.values() if c.status != "INACTIVE"]

    EC2ContainerServiceBackend.list_clusters = list_clusters


def transport():
    """A bucket's policy against plain HTTP refuses all requests, those by HTTPS as well.

    This server speaks plain HTTP in the place of HTTPS, so that condition never holds.
    """
    plain = {"Bool": {"aws:SecureTransport": "false"}}

    def get_permission(self, action, resource):
        policy = json.loads(self.policy) if self.policy else {"Statement": []}
        policy["Statement"] = [s for s in policy["Statement"] if s.get("Condition") != plain]
        if not policy["Statement"]:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission


def one_at_a_time():
    """Conditional writes are not atomic, and a failed transaction undoes others' writes."""
    lock = threading.RLock()
    call = DomainDispatcherApplication.__call__

    def locked(self, environ, start_response):
        with lock:
            return call(self, environ, start_response)

    DomainDispatcherApplication.__call__ = locked


def end_with_parent():
    def watch():
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


autoscaling_tags()
group_descriptions()
service_settings()
deleted_clusters()
transport()
one_at_a_time()
if "--attached" in sys.argv[3:]:
    end_with_parent()
logging.getLogger("werkzeug").setLevel(logging.ERROR)  # faults, not requests
main(["-H", sys.argv[1], "-p", sys.argv[2]])
