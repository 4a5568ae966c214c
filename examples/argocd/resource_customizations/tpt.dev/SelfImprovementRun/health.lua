-- Complete is Healthy, Failed is Degraded, suspended is Suspended, and everything else is on its way: Progressing.
-- What the status says of an older generation of the spec does not count.
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this version of the run yet"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function told(health, condition)
  local message = condition.reason
  if condition.message ~= nil and condition.message ~= "" then
    message = message .. ": " .. condition.message
  end
  return {status = health, message = message}
end

local order = {{"Failed", "Degraded"}, {"Complete", "Healthy"}, {"Suspended", "Suspended"}}
for _, pair in ipairs(order) do
  local condition = conditions[pair[1]]
  if condition ~= nil and condition.status == "True" then
    return told(pair[2], condition)
  end
end

local health = {status = "Progressing", message = ""}
if conditions.Running ~= nil then
  health = told("Progressing", conditions.Running)
end
if status.round ~= nil then
  health.message = "round " .. status.round .. ", " .. health.message
end
local progress = status.progress
if progress ~= nil then
  health.message = health.message .. " (" .. progress.completed .. " of " .. progress.total .. ")"
end
return health
