"""A stand-in for AWS: moto's server, and what it lacks for this stack.

standin.py HOST PORT serves until standard input is closed. It proves that
Terraform's and the agent's requests make sense, not that AWS takes them.
Each function below mends one gap of moto 5.2, named in its first line.
"""

import logging
import os
import sys
import threading

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.responses import ActionResult
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
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

    def create_service(self):
        result = create(self)
        service = result.result["service"]
        for attribute, parameter in kept.items():
            setattr(service, attribute, self._get_param(parameter))
        if service.capacity_provider_strategy:
            service.launch_type = None  # AWS has one or the other
        return result

    EC2ContainerServiceResponse.create_service = create_service


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
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


autoscaling_tags()
group_descriptions()
service_settings()
one_at_a_time()
end_with_parent()
logging.getLogger("werkzeug").setLevel(logging.ERROR)  # faults, not requests
main(["-H", sys.argv[1], "-p", sys.argv[2]])
