// A Media Creation Management SCU on dcmjs-dimse, a DICOM implementation independent of Burnish.
//
//   node mcm_client.js [--called AE] [--calling AE] [--timeout MS] HOST PORT COMMAND …
//
//   create [FILE] [--uid UID]     N-CREATE; FILE (default: standard input) holds the Attribute List
//                                 as a JSON object of keywords, or an array of such objects: one
//                                 association creates them all
//   initiate UID [--copies N] [--priority HIGH|MED|LOW]     N-ACTION 1
//   cancel UID                    N-ACTION 2
//   get UID [KEYWORD …]           N-GET; no keyword asks for every attribute
//   echo                          C-ECHO
//   store FILE …                  C-STORE of all files over one association; dcmjs decodes and
//                                 encodes them anew, without private elements
//
// Prints one JSON object: {status, errorComment?, sopInstanceUid?, attributes?}; with several
// operations {responses: [such objects in the order of the requests]}. No answer, a rejected or an
// aborted association: {error}, and exit code 1. A status that is not success is an answer.

'use strict';

const fs = require('node:fs');
const { parseArgs } = require('node:util');

const dcmjs = require('dcmjs');
const dcmjsDimse = require('dcmjs-dimse');
const { Client, Dataset } = dcmjsDimse;
const { CEchoRequest, CStoreRequest, NActionRequest, NCreateRequest, NGetRequest } =
  dcmjsDimse.requests;
const { TransferSyntax } = dcmjsDimse.constants;

const MEDIA_CREATION_MANAGEMENT = '1.2.840.10008.5.1.1.33';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    called: { type: 'string', default: 'BURNISH' },
    calling: { type: 'string', default: 'MCM_CLIENT' },
    timeout: { type: 'string', default: '30000' },
    uid: { type: 'string' },
    copies: { type: 'string' },
    priority: { type: 'string' },
  },
});
const [host, port, command, ...parameters] = positionals;

// Without elements there is no data set: the library would announce one and never send it.
function setDataset(request, elements) {
  if (Object.keys(elements).length > 0) {
    request.setDataset(new Dataset(elements, TransferSyntax.ImplicitVRLittleEndian));
  }
}

const COMMANDS = {
  create([file]) {
    const lists = [JSON.parse(fs.readFileSync(file ?? 0, 'utf8'))].flat();
    return lists.map((attributes) => {
      const request = new NCreateRequest(MEDIA_CREATION_MANAGEMENT, options.uid);
      setDataset(request, attributes);
      return request;
    });
  },
  initiate([uid]) {
    const request = new NActionRequest(MEDIA_CREATION_MANAGEMENT, uid, 1);
    const information = {};
    if (options.copies !== undefined) information.NumberOfCopies = options.copies;
    if (options.priority !== undefined) information.RequestPriority = options.priority;
    setDataset(request, information);
    return [request];
  },
  cancel: ([uid]) => [new NActionRequest(MEDIA_CREATION_MANAGEMENT, uid, 2)],
  get: ([uid, ...keywords]) => [new NGetRequest(MEDIA_CREATION_MANAGEMENT, uid, keywords)],
  echo: () => [new CEchoRequest()],
  store: (files) => files.map((file) => new CStoreRequest(file)),
};

function finish(result) {
  const text = JSON.stringify(result, (key, value) => (key === '_vrMap' ? undefined : value));
  process.stdout.write(`${text}\n`, () => process.exit('error' in result ? 1 : 0));
}

function answer(response) {
  const result = { status: response.getStatus() };
  const comment = response.getErrorComment();
  if (comment !== undefined) result.errorComment = comment;
  const uid = response.getAffectedSopInstanceUid();
  if (uid !== undefined) result.sopInstanceUid = uid;
  if (response.getDataset()) {
    result.attributes = response.getDataset().getElements();
  }
  return result;
}

function main() {
  if (!Object.hasOwn(COMMANDS, command ?? '')) {
    finish({ error: `usage: mcm_client.js HOST PORT ${Object.keys(COMMANDS).join('|')} …` });
    return;
  }
  const requests = COMMANDS[command](parameters);
  const answers = new Array(requests.length).fill(null);
  const client = new Client();
  requests.forEach((request, index) => {
    request.on('response', (response) => {
      answers[index] = answer(response);
    });
    client.addRequest(request);
  });
  client.on('associationRejected', ({ result, source, reason }) =>
    finish({ error: 'association rejected', result, source, reason })
  );
  client.on('networkError', (error) => finish({ error: error.message || String(error) }));
  client.on('closed', () => {
    if (answers.includes(null)) {
      finish({ error: 'the association ended without an answer', responses: answers });
    } else {
      finish(answers.length === 1 ? answers[0] : { responses: answers });
    }
  });
  const timeout = Number(options.timeout);
  client.send(host, Number(port), options.calling, options.called, {
    connectTimeout: timeout,
    associationTimeout: timeout,
    pduTimeout: timeout,
  });
}

dcmjs.log.setLevel('silent');
dcmjsDimse.log.setLevel('silent');
main();
