-- For wrk: posts the forms in a folder on more connections than a service can serve, and prints
-- one line of JSON with the count of each status and the time of each accepted answer.
-- Arguments: the folder with 1.form ... COUNT.form, COUNT, the path, the Content-Type, connections.
--
-- wrk does not report which request an answer belongs to. So each request has an id, which the
-- service returns; concurrent requests have different ids.

local ffi = require("ffi")
ffi.cdef [[
typedef struct { long s; long ns; } instant;
int clock_gettime(int clock, instant *now);
]]
local MONOTONIC, SPARE = 1, 2
local NEW, KNOWN = 201, 200 -- a picture that is measured at the same time is known

local instant = ffi.new("instant")
local threads, requests, free, sent = {}, {}, {}, {}
local bodies, headers, path
local first, last = 1, 0 -- positions in `free`
statuses, accepted_ms = {}, {}

local function now_ms()
   ffi.C.clock_gettime(MONOTONIC, instant)
   return tonumber(instant.s) * 1e3 + tonumber(instant.ns) / 1e6
end

local function give_back(id)
   last = last + 1
   free[last] = id
end

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   bodies, path = {}, args[3]
   headers = { ["Content-Type"] = args[4], ["Accept"] = "application/json" }
   for number = 1, tonumber(args[2]) do
      local file = assert(io.open(args[1] .. "/" .. number .. ".form", "rb"))
      bodies[number] = file:read("*a")
      file:close()
   end
   -- A broken connection does not return its id, so there are spare ids.
   for id = 1, math.max(#bodies, SPARE * tonumber(args[5])) do
      give_back(id)
   end
end

function request()
   local id = assert(free[first], "too many connections broke")
   free[first], first = nil, first + 1
   if not requests[id] then
      headers["X-Request-ID"] = tostring(id)
      requests[id] = wrk.format("POST", path, headers, bodies[(id - 1) % #bodies + 1])
   end
   sent[id] = now_ms()
   return requests[id]
end

function response(status, answered)
   local id = tonumber(answered["x-request-id"])
   statuses[tostring(status)] = (statuses[tostring(status)] or 0) + 1
   if status == NEW or status == KNOWN then
      table.insert(accepted_ms, string.format("%.3f", now_ms() - sent[id]))
   end
   give_back(id)
end

function done(summary)
   local counts, e = {}, summary.errors
   for status, count in pairs(threads[1]:get("statuses")) do
      table.insert(counts, string.format('"%s": %d', status, count))
   end
   io.write(string.format(
      '{"duration_s": %.6f, "lost": %d, "statuses": {%s}, "accepted_ms": [%s]}\n',
      summary.duration / 1e6, e.connect + e.read + e.write + e.timeout, table.concat(counts, ", "),
      table.concat(threads[1]:get("accepted_ms"), ", ")))
end
