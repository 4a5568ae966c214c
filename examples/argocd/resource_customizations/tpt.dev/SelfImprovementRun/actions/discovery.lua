-- A run can be suspended unless it is, and resumed if it is. There is no action for maxRounds: it can only be raised.
local suspended = obj.spec.suspend == true
return {
  suspend = {disabled = suspended, iconClass = "fa fa-fw fa-pause"},
  resume = {disabled = not suspended, iconClass = "fa fa-fw fa-play"}
}
