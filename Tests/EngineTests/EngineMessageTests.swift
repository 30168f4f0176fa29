import Engine
import Testing

@Suite struct EngineMessageTests {
    @Test(
        arguments: [
            (.noImage, "No such image: echo:latest", true), (.noContainer, "No such container: abc", true),
            (.noImage, "No such container: abc", false),
            (.nameTaken, "rpc error: name conflicts: x already exists", true),
            (.changedMeanwhile, "rpc error: code = Unknown desc = update out of sequence", true),
            (.otherVersion, "client version 1.60 is too new. Maximum supported API version is 1.52", true),
            (.otherVersion, "the request is too new", false),
        ] as [(EngineMessage, String, Bool)])
    func isFoundInTheWordsOfAnEngine(message: EngineMessage, text: String, isSaid: Bool) {
        #expect(message.isSaid(in: text) == isSaid)
    }
}
