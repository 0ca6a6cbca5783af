// A client of another make at the controller's OPC UA server. Reads its orders as JSON from the file
// named on the command line, says READY when it wants an alarm raised, and ends with one line of
// JSON: what it found. It judges nothing; test_node_opcua.py does.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const opcua = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

const { AttributeIds, DataType, TimestampsToReturn, Variant } = opcua;
const orders = JSON.parse(readFileSync(process.argv[2], "utf8"));
const found = {};
const LONGEST_MS = 10_000;

function client(identity) {
  return opcua.OPCUAClient.create({
    applicationUri: identity.applicationUri,
    applicationName: "node",
    securityMode: opcua.MessageSecurityMode.SignAndEncrypt,
    securityPolicy: opcua.SecurityPolicy.Basic256Sha256,
    certificateFile: identity.certificate,
    privateKeyFile: identity.key,
    clientCertificateManager: new OPCUACertificateManager({
      rootFolder: identity.pki,
      automaticallyAcceptUnknownCertificate: false,
    }),
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0, initialDelay: 100 },
    requestedSessionTimeout: 30_000,
  });
}

function person(name) {
  return {
    type: opcua.UserTokenType.UserName,
    userName: name,
    password: orders.passwords[name],
  };
}

async function until(what, check) {
  const end = Date.now() + LONGEST_MS;
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${LONGEST_MS} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

// Whatever the server says no to, by name.
async function refusal(work) {
  try {
    await work();
    return "";
  } catch (error) {
    return String(error.message).split("\n")[0];
  }
}

async function browse(session, node, path, into) {
  const result = await session.browse({
    nodeId: node,
    referenceTypeId: "HierarchicalReferences",
    includeSubtypes: true,
    browseDirection: opcua.BrowseDirection.Forward,
    nodeClassMask: 0,
    resultMask: 63,
  });
  for (const r of result.references ?? []) {
    const below = path ? `${path}/${r.browseName.name}` : r.browseName.name;
    if (!r.nodeId.toString().includes(";s=") || into[below]) continue;
    into[below] = opcua.NodeClass[r.nodeClass];
    await browse(session, r.nodeId, below, into);
  }
}

function call(session, ns, method, values) {
  return session.call({
    objectId: `ns=${ns};s=Controller`,
    methodId: `ns=${ns};s=Controller/${method}`,
    inputArguments: values.map(
      ([dataType, value]) =>
        new Variant({ dataType, arrayType: opcua.VariantArrayType.Scalar, value }),
    ),
  });
}

function answer(result) {
  return {
    status: result.statusCode.name,
    outputs: (result.outputArguments ?? []).map((v) => v.value),
    arguments: (result.inputArgumentResults ?? []).map((code) => code.name),
  };
}

async function history(session, node, start, end, perPage) {
  const pages = [];
  let point;
  do {
    const response = await session.historyRead(
      new opcua.HistoryReadRequest({
        historyReadDetails: new opcua.ReadRawModifiedDetails({
          isReadModified: false,
          startTime: start,
          endTime: end,
          numValuesPerNode: perPage,
          returnBounds: false,
        }),
        nodesToRead: [{ nodeId: node, continuationPoint: point }],
        releaseContinuationPoints: false,
        timestampsToReturn: TimestampsToReturn.Both,
      }),
    );
    const [result] = response.results;
    const values = result.historyData?.dataValues ?? [];
    pages.push({
      status: result.statusCode.name,
      values: values.map((v) => [v.sourceTimestamp.toISOString(), v.value.value]),
    });
    point = result.continuationPoint;
  } while (point?.length && pages.length < 50);
  return pages;
}

async function strangers() {
  found.stranger = await refusal(async () => {
    const c = client(orders.stranger);
    try {
      await c.connect(orders.endpoint);
      await c.createSession(person("operator"));
    } finally {
      await c.disconnect();
    }
  });
  found.wrongPassword = await refusal(async () => {
    const c = client(orders.identity);
    try {
      await c.connect(orders.endpoint);
      await c.createSession({ ...person("operator"), password: "guessed" });
    } finally {
      await c.disconnect();
    }
  });
}

async function values(session, ns) {
  const node = (path) => `ns=${ns};s=Controller/${path}`;
  const read = async (path) => {
    const data = await session.read({ nodeId: node(path), attributeId: AttributeIds.Value });
    return {
      status: data.statusCode.name,
      type: DataType[data.value.dataType],
      value: data.value.value?.length !== undefined && typeof data.value.value !== "string"
        ? Array.from(data.value.value)
        : data.value.value,
      source: data.sourceTimestamp?.toISOString(),
    };
  };
  found.values = {};
  for (const path of orders.read) found.values[path] = await read(path);
  const unit = await session.read({
    nodeId: node("Estimates/tablet_weight/Value/EngineeringUnits"),
    attributeId: AttributeIds.Value,
  });
  found.unit = { symbol: unit.value.value.displayName.text, code: unit.value.value.unitId };
  found.write = (
    await session.write({
      nodeId: node("Mode"),
      attributeId: AttributeIds.Value,
      value: { value: { dataType: DataType.String, value: "CLOSED_LOOP" } },
    })
  ).name;
}

async function subscribe(session, ns) {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 100,
    requestedLifetimeCount: 100,
    requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 100,
    publishingEnabled: true,
    priority: 1,
  });
  const seen = { Mode: [], Cycle: [], "Estimates/tablet_weight/Value": [] };
  for (const path of Object.keys(seen)) {
    const item = await subscription.monitor(
      { nodeId: `ns=${ns};s=Controller/${path}`, attributeId: AttributeIds.Value },
      { samplingInterval: 0, discardOldest: true, queueSize: 10 },
      TimestampsToReturn.Both,
    );
    item.on("changed", (data) => {
      const value = data.value.value;
      seen[path].push(Array.isArray(value) ? Number(opcua.coerceInt64?.(value) ?? value[1]) : value);
    });
  }
  return { subscription, seen };
}

const FIELDS = [
  "EventId", "EventType", "SourceName", "ConditionName", "Message", "Severity", "Retain",
  "ActiveState.Id", "AckedState.Id", "SuppressedOrShelved", "Time", "ClientUserId", "Comment",
  "ShelvingState.CurrentState",
];

async function events(subscription, ns, source) {
  const own = [`${ns}:OperatorAction`, `${ns}:Priority`];
  const filter = opcua.constructEventFilter([...FIELDS, ...own]);
  const item = await subscription.monitor(
    { nodeId: source, attributeId: AttributeIds.EventNotifier },
    { filter, queueSize: 100, discardOldest: true, samplingInterval: 0 },
    TimestampsToReturn.Both,
  );
  const seen = [];
  item.on("changed", (fields) => {
    const names = [...FIELDS, "OperatorAction", "Priority"];
    const event = Object.fromEntries(names.map((name, i) => [name, fields[i].value]));
    seen.push({
      ...event,
      EventId: event.EventId?.toString("hex"),
      EventType: event.EventType?.toString(),
      Message: event.Message?.text,
      Comment: event.Comment?.text,
      shelving: event["ShelvingState.CurrentState"]?.text,
    });
  });
  return seen;
}

async function alarms(session, subscription, ns) {
  const seen = await events(subscription, ns, "i=2253");
  const list = await opcua.installAlarmMonitoring(session);
  console.log("READY");
  await until("an alarm", () => seen.some((e) => e.ConditionName === "solver" && e.Retain));
  await until("the client's own alarm list", () => list.length > 0);
  found.alarmList = list.alarms().map((a) => ({
    condition: a.conditionId.toString(),
    active: a.fields.activeState.id.value,
    acknowledged: a.fields.ackedState.id.value,
    retain: a.getRetain(),
  }));
  const raised = seen.find((e) => e.ConditionName === "solver" && e.Retain);
  const condition = opcua.coerceNodeId(`ns=${ns};s=Controller/Alarms/solver`);
  const id = Buffer.from(raised.EventId, "hex");
  found.acknowledge = (await session.acknowledgeCondition(condition, id, "seen by node")).name;
  found.acknowledgeOther = (
    await session.acknowledgeCondition(condition, Buffer.from("none"), "never was")
  ).name;
  await until("it is acknowledged", () => seen.some((e) => e["AckedState.Id"] === true));
  found.events = [...seen];
  const acked = Buffer.from(seen.at(-1).EventId, "hex");
  found.acknowledgeAgain = (
    await session.acknowledgeCondition(condition, acked, "seen by node")
  ).name;
  found.condition = await shown(session, condition);
  await shelving(session, condition, seen);

  const late = await session.createSubscription2({
    requestedPublishingInterval: 100,
    requestedLifetimeCount: 100,
    requestedMaxKeepAliveCount: 10,
    publishingEnabled: true,
  });
  const repeated = await events(late, ns, "i=2253");
  const refresh = (subscriptionId) =>
    session.call({
      objectId: "i=2782",
      methodId: "i=3875",
      inputArguments: [new Variant({ dataType: DataType.UInt32, value: subscriptionId })],
    });
  found.refreshOfOthers = answer(await refresh(late.subscriptionId + 1000)).status;
  found.refresh = answer(await refresh(late.subscriptionId)).status;
  await until("the refresh has ended", () => repeated.at(-1)?.EventType === "ns=0;i=2788");
  found.refreshed = repeated.map((e) => [e.EventType, e.ConditionName, e.shelving]);
  const unshelve = await part(session, condition, "ShelvingState", "Unshelve");
  const said = [new Variant({ dataType: DataType.LocalizedText, value: { text: "clean" } })];
  const unshelve2 = await part(session, condition, "ShelvingState", "Unshelve2");
  const state = await part(session, condition, "ShelvingState");
  found.unshelve = await act(session, state, unshelve2, said);
  found.unshelveAgain = await act(session, condition, unshelve, []);
  await until("it is unshelved", () => seen.at(-1).shelving === "Unshelved");
  await late.terminate();
}

// Node at the end of a path of browse names below another.
async function part(session, node, ...names) {
  const path = opcua.makeBrowsePath(node, names.map((name) => `/${name}`).join(""));
  const result = await session.translateBrowsePath(path);
  return result.targets[0].targetId;
}

async function act(session, objectId, methodId, inputArguments) {
  return (await session.call({ objectId, methodId, inputArguments })).statusCode.name;
}

// What the condition itself shows.
async function shown(session, condition) {
  const values = {};
  for (const path of ["ActiveState/Id", "AckedState/Id", "Comment", "ClientUserId", "Cause"]) {
    const names = path === "Cause" ? [`${found.namespace}:Cause`] : path.split("/");
    const node = await part(session, condition, ...names);
    const data = await session.read({ nodeId: node, attributeId: AttributeIds.Value });
    values[path] = data.value.value?.text ?? data.value.value;
  }
  return values;
}

const minutes = (value) => new Variant({ dataType: DataType.Double, value: value * 60_000 });

// Shelving as clients do that know only the methods without a comment.
async function shelving(session, condition, seen) {
  const timed = await part(session, condition, "ShelvingState", "TimedShelve");
  const state = await part(session, condition, "ShelvingState");
  found.tooLong = await act(session, condition, timed, [minutes(100_000)]);
  const event = Buffer.from(seen.at(-1).EventId, "hex");
  found.comment = (await session.addCommentCondition(condition, event, "window fouled")).name;
  found.shelve = await act(session, state, timed, [minutes(10)]);
  found.shelveAgain = await act(session, condition, timed, [minutes(10)]);
  await until("it is shelved", () => seen.at(-1).shelving === "TimedShelved");
  found.shelvedEvent = seen.at(-1);
}

// The standard's methods, as somebody who may only look.
async function looking(ns) {
  const c = client(orders.identity);
  await c.connect(orders.endpoint);
  const session = await c.createSession(person("observer"));
  const condition = opcua.coerceNodeId(`ns=${ns};s=Controller/Alarms/solver`);
  const timed = await part(session, condition, "ShelvingState", "TimedShelve");
  found.observer = {
    acknowledge: (
      await session.acknowledgeCondition(condition, Buffer.from("any"), "seen by node")
    ).name,
    shelve: await act(session, condition, timed, [minutes(10)]),
  };
  await session.close();
  await c.disconnect();
}

async function methods(session, ns, seen) {
  const text = (value) => [DataType.String, value];
  const number = (value) => [DataType.Double, value];
  found.calls = {
    mode: answer(await call(session, ns, "RequestMode", [text("ADVISORY"), text("by node")])),
    noWay: answer(await call(session, ns, "RequestMode", [text("OFF?"), text("by node")])),
    target: answer(
      await call(session, ns, "SetTarget", [text("throughput"), number(21), text("by node")]),
    ),
    type: answer(
      await call(session, ns, "SetTarget", [text("throughput"), text("21"), text("by node")]),
    ),
    nan: answer(
      await call(session, ns, "SetTarget", [text("throughput"), number(NaN), text("by node")]),
    ),
    missing: answer(await call(session, ns, "RequestMode", [text("ADVISORY")])),
    advice: answer(
      await call(session, ns, "AcceptAdvice", [[DataType.Int64, [0, 7]], text("by node")]),
    ),
    loads: answer(await call(session, ns, "LoadProduct", [text("ab"), text("by node")])),
  };
  await until("the mode is seen", () => seen.Mode.at(-1) === "ADVISORY");
}

async function others(ns) {
  const c = client(orders.identity);
  await c.connect(orders.endpoint);
  found.others = {};
  for (const [name, method, values] of orders.others) {
    const session = await c.createSession(person(name));
    const typed = values.map(([type, value]) => [DataType[type], value]);
    found.others[`${name} ${method}`] = answer(await call(session, ns, method, typed)).status;
    await session.close();
  }
  await c.disconnect();
}

async function main() {
  await strangers();
  const c = client(orders.identity);
  await c.connect(orders.endpoint);
  const session = await c.createSession(person("operator"));
  const ns = (await session.readNamespaceArray()).indexOf("urn:twinline:controller");
  found.namespace = ns;
  found.tree = {};
  await browse(session, "ObjectsFolder", "", found.tree);
  await values(session, ns);
  const { subscription, seen } = await subscribe(session, ns);
  await until("ten cycles", () => seen.Cycle.length >= 10);
  await methods(session, ns, seen);
  await others(ns);
  await looking(ns);
  await alarms(session, subscription, ns);
  const node = `ns=${ns};s=Controller/Estimates/tablet_weight/Value`;
  const [start, end] = orders.historyRange.map((t) => new Date(t));
  found.history = await history(session, node, start, end, 5);
  found.noHistory = await history(session, `ns=${ns};s=Controller/Cause`, start, end, 5);
  found.seen = seen;
  await subscription.terminate();
  await session.close();
  await c.disconnect();
  console.log(JSON.stringify(found));
  process.exit(0);
}

main().catch((error) => {
  console.error(error.stack ?? String(error));
  console.log(JSON.stringify(found));
  process.exit(1);
});
