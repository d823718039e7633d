"""The administration client of the official SDK, unchanged: everything that Claviger serves of `client.admin`.

Reads OPENAI_ADMIN_KEY and OPENAI_BASE_URL from the environment; prints one JSON object of what it saw. Where both sides
have the same words the replies are validated against the SDK's own models; `plain` speaks where ours say more, such as
roles that OpenAI does not have and limits that are not set.

    python admin.py SERVICE_MODEL START_TIME
"""

import json
import sys

import openai
from openai import OpenAI

model, start_time = sys.argv[1], int(sys.argv[2])
strict = OpenAI(_strict_response_validation=True, max_retries=0).admin.organization
plain = OpenAI(max_retries=0).admin.organization
seen = {}


def ids(page):
    return [item.id for item in page]


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    return None


# Projects: made, read, renamed, walked page by page, archived.
made = [strict.projects.create(name=f"sdk {number}") for number in range(3)]
project = made[0]
assert strict.projects.retrieve(project.id) == project
assert strict.projects.update(project.id, name="renamed").name == "renamed"
walked = ids(strict.projects.list(limit=2))
assert len(walked) == len(set(walked)) and {item.id for item in made} <= set(walked), walked
assert strict.projects.archive(made[2].id).status == "archived"
assert made[2].id not in ids(strict.projects.list())
assert made[2].id in ids(strict.projects.list(include_archived=True))
seen["unknown_project"] = refused(lambda: strict.projects.retrieve("proj_unknown"))
seen["foreign_cursor"] = refused(lambda: strict.projects.list(after="proj_unknown"))

# Admin keys: made, walked, read, ended.
admin_keys = strict.admin_api_keys
admin_key = admin_keys.create(name="sdk")
assert admin_key.value and admin_key.object == "organization.admin_api_key", admin_key
assert admin_keys.retrieve(admin_key.id).redacted_value == admin_key.redacted_value
assert admin_key.id in ids(admin_keys.list(limit=1))
assert admin_keys.delete(admin_key.id).deleted is True
assert admin_key.id not in ids(admin_keys.list())
seen["unknown_admin_key"] = refused(lambda: strict.admin_api_keys.retrieve("key_unknown"))

# Service accounts, with the key that comes with one and a further one.
accounts = strict.projects.service_accounts
robot = accounts.create(project.id, name="robot")
assert robot.api_key.value and robot.api_key.name == "robot", robot
bare = accounts.create(project.id, name="bare", create_service_account_only=True)
assert bare.api_key is None and bare.role == "none", bare
further = accounts.api_keys.create(robot.id, project_id=project.id, name="further", expires_in_seconds=3600)
unnamed = accounts.api_keys.create(robot.id, project_id=project.id)
assert further.value != unnamed.value
assert accounts.retrieve(robot.id, project_id=project.id).name == "robot"
assert accounts.update(bare.id, project_id=project.id, name="renamed", role="member").role == "member"
assert ids(accounts.list(project.id)) == [bare.id, robot.id]
seen["robot_key"] = robot.api_key.value

# Keys of the project.
keys = strict.projects.api_keys
listed = list(keys.list(project.id, limit=2))
assert [key.id for key in listed] == [unnamed.id, further.id, robot.api_key.id], listed
assert all(key.owner.type == "service_account" and key.owner.service_account.id == robot.id for key in listed), listed
assert keys.list(project.id, owner_project_access="inactive").data == []
assert keys.retrieve(further.id, project_id=project.id).redacted_value.endswith(further.value[-4:])
keys.update(further.id, project_id=project.id, expires_in_seconds=7200)
assert keys.delete(further.id, project_id=project.id).deleted
assert further.id not in ids(keys.list(project.id))
assert accounts.delete(bare.id, project_id=project.id).deleted

# Limits of the project, of all models together and of one whose id has a slash.
limits = strict.projects.rate_limits
for name in ["*", model]:
    set_to = limits.update_rate_limit(
        name, project_id=project.id, max_requests_per_1_minute=600, max_tokens_per_1_minute=90000
    )
    assert (set_to.model, set_to.max_requests_per_1_minute) == (name, 600), set_to
assert [limit.model for limit in limits.list_rate_limits(project.id)] == ["*", model]
seen["uncounted_limit"] = refused(
    lambda: limits.update_rate_limit("*", project_id=project.id, max_requests_per_1_day=5)
)
permissions = strict.projects.model_permissions
allowed = permissions.update(project.id, mode="allow_list", model_ids=[model])
assert allowed.to_dict()["model_ids"] == [model], allowed
assert permissions.retrieve(project.id).mode == "allow_list"
assert permissions.delete(project.id).deleted
assert permissions.retrieve(project.id).to_dict()["model_ids"] == []

# People.
invite = plain.invites.create(email="reader@acme.example", role="reader")
assert (invite.status, invite.role) == ("pending", "reader"), invite
assert plain.invites.retrieve(invite.id).email == "reader@acme.example"
assert ids(plain.invites.list()) == [invite.id]
assert strict.invites.delete(invite.id).deleted
[owner] = strict.users.list(limit=1)
assert strict.users.retrieve(owner.id).email == owner.email
assert owner.role == "owner", owner
assert [user.id for user in strict.users.list(emails=[owner.email])] == [owner.id]
assert strict.users.list(emails=["nobody@acme.example"]).data == []
seen["last_owner"] = refused(lambda: strict.users.update(owner.id, role="reader"))

# What was done, and what was used.
log = list(plain.audit_logs.list(limit=5, event_types=["service_account.created", "service_account.deleted"]))
assert [entry.type for entry in log] == ["service_account.deleted"] + ["service_account.created"] * 2, log
assert log[0].id in ids(plain.audit_logs.list(effective_at={"gte": start_time}, resource_ids=[bare.id]))
usage = plain.usage.completions(
    start_time=start_time, bucket_width="1d", group_by=["model", "project_id", "user_id"], models=[model]
)
results = [result for bucket in usage.data for result in bucket.results]
seen["used"] = [[result.model, result.num_model_requests, result.input_tokens] for result in results]
seen["not_served"] = refused(lambda: plain.certificates.list())
print(json.dumps(seen))
