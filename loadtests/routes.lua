-- Requests for each of N routes in turn; `wrk ... URL -- FILE [anew]` with one "METHOD PATH [TENANT]"
-- a line. With `anew` each has a number in its query, so that no request line comes twice.
local requests, rests, at, count = {}, {}, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, tenant = line:match("^(%S+) (%S+) ?(%S*)$")
    local headers = {["x-client-id"] = "bench"}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    if tenant ~= "" then headers["x-tenant"] = tenant end
    local body = method ~= "GET" and "" or nil
    local request = wrk.format(method, path, headers, body)
    if args[2] == "anew" then
      local ends = #method + 1 + #path
      rests[#rests + 1] = request:sub(ends + 1)
      request = request:sub(1, ends) .. "?n="
    end
    requests[#requests + 1] = request
  end
end

function request()
  at = at % #requests + 1
  if not rests[at] then return requests[at] end
  count = count + 1
  return requests[at] .. count .. rests[at]
end
