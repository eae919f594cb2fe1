-- For wrk: posts the forms in a folder one after the other and prints one line of JSON.

-- Arguments: the folder with 1.form ... COUNT.form, COUNT, the path, the Content-Type.

local requests = {}
local at = 0

function init(args)
   local headers = { ["Content-Type"] = args[4], ["Accept"] = "application/json" }
   for number = 1, tonumber(args[2]) do
      local file = assert(io.open(args[1] .. "/" .. number .. ".form", "rb"))
      requests[number] = wrk.format("POST", args[3], headers, file:read("*a"))
      file:close()
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local e = summary.errors
   local line = '{"duration_s": %.6f, "answers": %d, "failed": %d, '
      .. '"p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f, "most_ms": %.3f}\n'
   io.write(string.format(line, summary.duration / 1e6, summary.requests,
      e.connect + e.read + e.write + e.status + e.timeout,
      latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
      latency:percentile(99) / 1e3, latency.max / 1e3))
end
