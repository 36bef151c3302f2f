-- A 10 KiB JSON body by POST; the origin answers with a small one.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"pad":"' .. string.rep("x", 10240 - 10) .. '"}'
