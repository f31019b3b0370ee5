-- The health of a pve-evpn.dev object for Argo CD. One script serves every kind, because the conditions mean the same on
-- all of them: see docs/gitops.md.
local function condition(type)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == type then
      return found
    end
  end
  return nil
end

local function holds(type)
  local found = condition(type)
  return found ~= nil and found.status == "True"
end

local function health(status, found)
  local message = found.message
  if message == nil or message == "" then
    message = found.reason
  end
  return {status = status, message = message}
end

local ready = condition("Ready")
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waits for the operator to process it"}
end
if holds("Stalled") then
  return health("Degraded", ready)
end
if holds("Paused") then
  return health("Suspended", condition("Paused"))
end
if ready.status == "True" then
  return health("Healthy", ready)
end
if obj.kind == "EvpnNode" then
  -- The operator reports nodes and changes none: what no source can see is unknown, and that is no progress.
  return health(ready.status == "False" and "Degraded" or "Unknown", ready)
end
return health("Progressing", ready)
