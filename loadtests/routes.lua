-- Requests for each of N routes in turn; `wrk ... URL -- FILE` with one "METHOD PATH [TENANT]" a line.
local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, tenant = line:match("^(%S+) (%S+) ?(%S*)$")
    local headers = {["x-client-id"] = "bench"}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    if tenant ~= "" then headers["x-tenant"] = tenant end
    requests[#requests + 1] = wrk.format(method, path, headers, method ~= "GET" and "" or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
