// The administration client of the official SDK, unchanged: what `tests/e2e/python/admin.py` does, in the other language.
//
// Reads OPENAI_ADMIN_KEY and OPENAI_BASE_URL from the environment; prints one JSON object of what it saw.
//
//     node admin.mjs SERVICE_MODEL START_TIME
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [model, startTime] = process.argv.slice(2);
const organization = new OpenAI({ maxRetries: 0 }).admin.organization;
const seen = {};

const all = async (pages) => {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
};
const ids = async (pages) => (await all(pages)).map((item) => item.id);
const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
  return null;
};

// Projects: made, read, renamed, walked page by page, archived.
const { projects } = organization;
const made = [];
for (const number of [0, 1, 2]) made.push(await projects.create({ name: `sdk ${number}` }));
const project = made[0];
assert.deepEqual(await projects.retrieve(project.id), project);
assert.equal((await projects.update(project.id, { name: 'renamed' })).name, 'renamed');
const walked = await ids(projects.list({ limit: 2 }));
assert.equal(new Set(walked).size, walked.length);
assert.ok(made.every((item) => walked.includes(item.id)));
assert.equal((await projects.archive(made[2].id)).status, 'archived');
assert.ok(!(await ids(projects.list())).includes(made[2].id));
assert.ok((await ids(projects.list({ include_archived: true }))).includes(made[2].id));
seen.unknown_project = await refused(() => projects.retrieve('proj_unknown'));
seen.foreign_cursor = await refused(() => projects.list({ after: 'proj_unknown' }));

// Admin keys: made, walked, read, ended.
const { adminAPIKeys } = organization;
const adminKey = await adminAPIKeys.create({ name: 'sdk' });
assert.ok(adminKey.value);
assert.equal((await adminAPIKeys.retrieve(adminKey.id)).redacted_value, adminKey.redacted_value);
assert.ok((await ids(adminAPIKeys.list({ limit: 1 }))).includes(adminKey.id));
assert.equal((await adminAPIKeys.delete(adminKey.id)).deleted, true);
assert.ok(!(await ids(adminAPIKeys.list())).includes(adminKey.id));
seen.unknown_admin_key = await refused(() => adminAPIKeys.retrieve('key_unknown'));

// Service accounts, with the key that comes with one.
const accounts = projects.serviceAccounts;
const robot = await accounts.create(project.id, { name: 'robot' });
assert.ok(robot.api_key.value);
const bare = await accounts.create(project.id, { name: 'bare', create_service_account_only: true });
assert.deepEqual([bare.api_key, bare.role], [null, 'none']);
assert.equal((await accounts.retrieve(robot.id, { project_id: project.id })).name, 'robot');
const changed = await accounts.update(bare.id, { project_id: project.id, name: 'renamed', role: 'member' });
assert.equal(changed.role, 'member');
assert.deepEqual(await ids(accounts.list(project.id)), [bare.id, robot.id]);
seen.robot_key = robot.api_key.value;

// Keys of the project.
const keys = projects.apiKeys;
const [listed] = await all(keys.list(project.id, { limit: 1 }));
assert.equal(listed.id, robot.api_key.id);
assert.equal(listed.owner.service_account.id, robot.id);
assert.deepEqual(await ids(keys.list(project.id, { owner_project_access: 'inactive' })), []);
const [, second] = await Promise.all([1, 2].map((n) => accounts.create(project.id, { name: `account ${n}` })));
const read = await keys.retrieve(second.api_key.id, { project_id: project.id });
assert.ok(read.redacted_value.endsWith(second.api_key.value.slice(-4)));
assert.equal((await keys.delete(second.api_key.id, { project_id: project.id })).deleted, true);
assert.ok(!(await ids(keys.list(project.id))).includes(second.api_key.id));
assert.equal((await accounts.delete(bare.id, { project_id: project.id })).deleted, true);

// Limits of the project, of all models together and of one whose id has a slash.
const limits = projects.rateLimits;
for (const name of ['*', model]) {
  const set = await limits.updateRateLimit(name, {
    project_id: project.id,
    max_requests_per_1_minute: 600,
    max_tokens_per_1_minute: 90000,
  });
  assert.deepEqual([set.model, set.max_requests_per_1_minute], [name, 600]);
}
const limited = await all(limits.listRateLimits(project.id));
assert.deepEqual(limited.map((limit) => limit.model), ['*', model]);
seen.uncounted_limit = await refused(() =>
  limits.updateRateLimit('*', { project_id: project.id, max_requests_per_1_day: 5 }),
);
const permissions = projects.modelPermissions;
const allowed = await permissions.update(project.id, { mode: 'allow_list', model_ids: [model] });
assert.deepEqual(allowed.model_ids, [model]);
assert.equal((await permissions.retrieve(project.id)).mode, 'allow_list');
assert.equal((await permissions.delete(project.id)).deleted, true);

// People.
const invite = await organization.invites.create({ email: 'reader@acme.example', role: 'reader' });
assert.deepEqual([invite.status, invite.role], ['pending', 'reader']);
assert.deepEqual(await ids(organization.invites.list()), [invite.id]);
assert.equal((await organization.invites.delete(invite.id)).deleted, true);
const [owner] = await all(organization.users.list({ limit: 1 }));
assert.deepEqual(await organization.users.retrieve(owner.id), owner);
assert.deepEqual(await ids(organization.users.list({ emails: [owner.email] })), [owner.id]);
seen.last_owner = await refused(() => organization.users.update(owner.id, { role: 'reader' }));

// What was done, and what was used.
const log = await all(organization.auditLogs.list({ limit: 5, event_types: ['service_account.deleted'] }));
assert.deepEqual(log.map((entry) => entry.type), ['service_account.deleted']);
const about = organization.auditLogs.list({ effective_at: { gte: Number(startTime) }, resource_ids: [bare.id] });
assert.ok((await ids(about)).includes(log[0].id));
const usage = await organization.usage.completions({
  start_time: Number(startTime),
  bucket_width: '1d',
  group_by: ['model', 'project_id', 'user_id'],
  models: [model],
});
const results = usage.data.flatMap((bucket) => bucket.results);
seen.used = results.map((result) => [result.model, result.num_model_requests, result.input_tokens]);
seen.not_served = await refused(() => organization.certificates.list());
console.log(JSON.stringify(seen));
