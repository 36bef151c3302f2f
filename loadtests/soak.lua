-- A day's mix in a thousand requests; `wrk ... URL -- out` adds the shaky service to it.
local requests, at = {}, 0

function init(args)
  local outbound = args[1] == "out"
  local body = '{"pad":"' .. string.rep("x", 2030) .. '"}'
  local host = outbound and "good" or "app"
  local function ask(method, path, fields, sent)
    fields = fields or {}
    fields["Host"] = fields["Host"] or host
    fields["x-client-id"] = "client-" .. math.random(200)
    return wrk.format(method, path, fields, sent)
  end
  for n = 1, 1000 do
    local one
    if n % 100 == 50 and outbound then one = ask("GET", "/64k", {Host = "shaky"})
    elseif n % 100 == 50 then one = ask("GET", "/503")
    elseif n % 200 == 17 then one = ask("GET", "/503")
    elseif n % 50 == 3 then one = ask("GET", "/small", {Connection = "close"})
    elseif n % 100 == 7 then one = ask("GET", "/64k")
    elseif n % 10 == 9 then one = ask("POST", "/small", {["Content-Type"] = "application/json"}, body)
    else one = ask("GET", "/small?page=" .. math.random(5000)) end
    requests[n] = one
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
