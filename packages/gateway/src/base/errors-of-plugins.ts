import { config, type ErrorKind, gateway, plugin } from './error-kinds.ts'

/** Plugins at work and on their way there, configuration, changes and processes. */
export const PLUGIN_ERRORS = {
  // Plugins at run time.
  HOOK_THREW: plugin(
    503,
    'A plugin failed',
    'A hook, a transform or a stream of a body threw or rejected; the log has the stack, mapped to the source.',
    'Mend the plugin. `on_failure` says what happens to its exchanges meanwhile.',
  ),
  HOOK_TIMEOUT: plugin(
    503,
    'A plugin took too long',
    'A hook or a call of a transform did not settle within the `timeout_ms` of its instance, or a stream took no chunk or did not end in that time.',
    'Make it faster or raise `timeout_ms`.',
  ),
  HOOK_RETURN_INVALID: plugin(
    503,
    'A plugin broke the contract',
    'handle returned something other than true or false, false without a status, or true after send(). Or a transform, or the `readable` of a stream, gave something other than a Uint8Array; or that ended before the body did.',
    'Return true to go on; set a status (or use send, json, redirect) and return false to answer. Put a TextEncoderStream behind a stream of text.',
  ),
  PLUGIN_STALLED: plugin(
    503,
    'A plugin blocked the event loop',
    'Its code ran, or waited synchronously, without giving way: an endless loop, a slow regular expression, a blocking read.',
    'Make it asynchronous or bound it. At its start the change fails; in a hook `on_failure` decides, and the plugin is quarantined.',
  ),
  PLUGIN_UNCAUGHT: plugin(
    503,
    'A plugin threw outside of its hooks',
    'A callback of a timer, a socket or an emitter of its own threw. It is known by its code on the stack: an `error` event of a socket that has no listener shows none, and ends the worker.',
    'Catch it there, and listen to `error`; what `host.setTimeout` and `host.setInterval` call is caught for you. The plugin is quarantined until its code or config changes, and its worker is replaced.',
  ),
  PLUGIN_EXIT: plugin(
    503,
    'A plugin tried to end its worker',
    'It called `process.exit()`, `process.abort()`, `process.disconnect()`, or `process.kill()` with the id of the worker or of the gateway, most often in a library that takes the process for its own. The call throws, and ends nothing.',
    'Throw an error instead. At its start the change fails; in a hook `on_failure` decides, and the plugin is quarantined until its code or config changes.',
  ),
  PLUGIN_MEMORY_EXCEEDED: plugin(
    503,
    'A plugin took too much memory',
    'The process that ran it grew past its limit, most often by a loop that keeps what it makes.',
    'Bound what the plugin keeps. At its start the change fails; the last good generation serves on.',
  ),
  PLUGIN_BREAKER_OPEN: {
    ...plugin(
      503,
      'A plugin is not called because it hung too often',
      'Its breaker is open: too large a share of its hooks did not settle within `timeout_ms`. `on_failure` decides meanwhile.',
      'Nothing to do where the cause was outside: the breaker probes and closes by itself. Otherwise make the hooks faster, or raise `timeout_ms`.',
    ),
    retry: 'always',
  },
  PLUGIN_QUARANTINED: plugin(
    503,
    'A plugin is quarantined',
    'It blocked the event loop of a worker, tried to end it, or threw where nobody catches it, so none of its hooks is called any more; `on_failure` decides.',
    'Mend the plugin, or take it off the route.',
  ),
  BODY_UNREADABLE: plugin(
    503,
    'A body cannot be read',
    'It cannot be decoded, or is not the JSON that the plugin asked for.',
    'Catch the error in the plugin and answer 400 or 415.',
  ),
  CONTEXT_REVOKED: plugin(
    0,
    'A context was used after its end',
    'The hook that was given it timed out, or onFinish has run.',
    'Copy what you need while the hook runs.',
  ),
  PERMISSION_DENIED: plugin(
    0,
    'A plugin asked for what it was not granted',
    'plugin.json does not list the permission.',
    'Add it to `permissions` in plugin.json if the plugin may have it.',
  ),
  STATE_NOT_LIVE: plugin(
    503,
    'A plugin asked for a state that is not there',
    'Its generation is not live yet, its instance has stopped, or `create` threw when the generation went live.',
    'Use the value in hooks, not in PluginMain, and never after `stop`; mend `create` if the log has its stack.',
  ),
  SERVICE_UNAVAILABLE: plugin(
    503,
    "A plugin's service cannot be called",
    'The plugin that provides it has stopped, provides nothing, or has too many unanswered calls.',
    'Call it only while the own instance lives; a provider offers its functions while PluginMain runs.',
  ),
  KV_LIMIT_EXCEEDED: plugin(
    0,
    'The key-value store takes no more of this',
    'A key is longer than 512 bytes, a value than 64 KiB, or the plugin has reached its number of keys or bytes.',
    'Store less, set `ttlMs` so that old keys go by themselves, or delete them.',
  ),
  KV_UNAVAILABLE: plugin(
    0,
    'The key-value store did not answer',
    'The supervisor is away or busy, the disk failed, or too many requests of this worker wait already.',
    'Catch the error and go on without; the request may or may not have been carried out. The log names the cause.',
  ),
  // Config files and plugin folders.
  CONFIG_NOT_FOUND: config(
    'The config file or its plugins directory cannot be read',
    'It does not exist, may not be read, or, as a file, is no UTF-8 text. A directory need only be there when `plugins_dir` names it.',
    'Check the path; `cardea --to URL` needs no file.',
  ),
  CONFIG_SYNTAX: config(
    'The config file is not valid YAML or JSON',
    'The parser stopped at the line and column shown.',
    'Mend the syntax there.',
  ),
  CONFIG_INVALID: config(
    'A config value is not allowed',
    'The key is unknown, the value has the wrong form, or two values contradict each other.',
    'The error names key, value, what was expected and the nearest valid key.',
  ),
  CONFIG_VARIABLE_MISSING: config(
    'A variable has no value',
    'The config says ${NAME} or ${file:PATH}, and there is no such variable, nor a default, or no such file that is UTF-8 text.',
    'Set it, or write ${NAME:-default}.',
  ),
  PLUGIN_MANIFEST_INVALID: config(
    'plugin.json is not valid',
    'A field is missing, unknown, or has the wrong form; or it lies beside the folders of the plugins instead of in one of its own.',
    'The error names the field, the value and what was expected, or where to move it.',
  ),
  PLUGIN_ENTRY_MISSING: config(
    'A plugin has no entry file',
    'The folder holds none of plugin.ts, plugin.js and plugin.mjs.',
    'Add one; `cardea plugin new NAME` writes a working folder.',
  ),
  PLUGIN_DUPLICATE: config(
    'Two plugins have one name',
    'Two folders name the same plugin, or one has the name of a built-in.',
    'Rename one of them.',
  ),
  PLUGIN_NOT_FOUND: config(
    'A route names a plugin that is not there',
    'No enabled plugin folder has that name.',
    'Check the name, add the folder, or remove the reference.',
  ),
  PLUGIN_DEPENDENCY_MISSING: config(
    'A plugin needs another one that is not there',
    'No enabled plugin has the name that stands in `dependencies` of its plugin.json, or the code uses one that does not stand there.',
    'Add or enable the other plugin, or correct `dependencies`.',
  ),
  PLUGIN_DEPENDENCY_CONFLICT: config(
    'A plugin needs another version of a plugin',
    'The version of the other plugin is not within the range that `dependencies` of plugin.json asks for.',
    'Install a version within the range, or widen the range.',
  ),
  PLUGIN_DEPENDENCY_CYCLE: config(
    'Plugins need each other in a circle',
    'Following `dependencies` leads from a plugin back to itself; the error names the way.',
    'Take one of them out of `dependencies`: none of the circle could start first.',
  ),
  PLUGIN_BUILD_FAILED: config(
    'A plugin does not compile',
    'esbuild reports the error with file, line and code frame.',
    'Mend it there.',
  ),
  PLUGIN_CONFIG_INVALID: config(
    "A plugin's config is not allowed",
    'It does not match the config_schema of the plugin.',
    'The error names the layer the value came from, key, value and what was expected.',
  ),
  PLUGIN_EXPORT_MISSING: config(
    'A plugin lacks its entry point',
    'The entry file does not export the function that `entry_point` names.',
    'Export it, or correct `entry_point`.',
  ),
  PLUGIN_START_FAILED: config(
    'A plugin does not start',
    'PluginMain, updateConfig, validateConfig or healthCheck threw, rejected, or took too long, or returned no middleware.',
    'The log has the stack, mapped to the source.',
  ),
  PLUGIN_ISOLATION_UNAVAILABLE: config(
    'A plugin asks for an isolation that this version does not have',
    'plugin.json or the config says `isolation: isolate` or `process`; running it less isolated would be unsafe.',
    'Set `isolation: none` if you trust the plugin, or leave it out.',
  ),
  // Processes.
  LISTEN_FAILED: gateway(
    0,
    'never',
    'A listener cannot be opened',
    'The address is in use, or may not be used by this user.',
    'Choose another port, or stop what uses it.',
  ),
  WORKER_START_FAILED: gateway(
    0,
    'never',
    'A worker did not start',
    'It did not report ready in time, or died while starting.',
    'The log has the cause.',
  ),
  CHANGE_HELD: config(
    'A change waits for somebody to agree',
    'A route would lose a security plugin: it is gone, renamed, disabled, of another category, or another plugin has its ' +
      'name. Or nobody can tell: what was committed last cannot be read from `.cardea/`.',
    'Bring it back, say `NAME: false` under `plugins:` of the route, or run `cardea approve` with the id that log and `cardea status` show.',
  ),
  NOTHING_HELD: config(
    'There is nothing to approve or release',
    'No change is held, or nothing is held back under that name.',
    '`cardea status` shows what is held and what is held back.',
  ),
  APPROVAL_OUTDATED: config(
    'What was to be approved is not what is held',
    'Something else was saved or asked for since, by which other security plugins would be lost.',
    '`cardea status` shows what is held now, and its id; `cardea approve ID` lets in that.',
  ),
  WORKER_LOST: gateway(
    0,
    'always',
    'A worker ended in the middle of a change',
    'It died or was killed; another one takes its place.',
    'The change is tried again by itself; the log says how the worker ended.',
  ),
  TRIAL_FAILED: gateway(
    0,
    'always',
    'The trial process did not do its work',
    'It could not be started, or was ended by the gateway itself, so nothing is known of the plugins.',
    'The log has the cause; `cardea plugin reload NAME` tries again.',
  ),
} as const satisfies Record<string, ErrorKind>
