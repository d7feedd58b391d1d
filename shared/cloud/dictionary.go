package cloud

// dictionary is what rows of events have in common: the coder refers to it
// instead of writing it into each row, which brings most events of 1 KiB under
// one write unit. It must never change, since rows were packed with it; a better
// one gets an id of its own, beside this.
const (
	dictionaryID = 1
	dictionary   = `{"message_uuid":"","channel_type":"WHATSAPP","channel_type":"VIBER","channel_type":"SMS","callback_event":"delivered",` +
		`"callback_event":"price","parts":1,"price":,"currency":"RUB","price_time":"","callback_event":"click","url":"https://","short_url":"https://",` +
		`"click_time":"","callback_event":"sent","status":"sent","callback_event":"read","status":"read","status":"undelivered","status":"delivered",` +
		`"status_time":"2026-","error_code":,"cascade_message_uuid":"","cascade_step":,"item":{"contentType":"text","text":"` +
		`action=instant_message&bot_name=&channel=&cid=&speaker_type=AGENT&speaker_name=Resident&speaker_uuid=&message=action=group_message` +
		`&group_name=&group_uuid=&group_id=&app_uuid=action=group_chat&group_uuid=+the++you++and+%2C+%21+%27` +
		`{"CallbackCommand":"State.StateChange","EventTime":17,"Info":{"Action":"Login","To_Account":"","Reason":"Register"}}` +
		`{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"","To_Account":"","MsgSeq":,"MsgRandom":,"MsgTime":17,"MsgKey":"","MsgId":"",` +
		`"SendMsgResult":0,"ErrorInfo":"send msg succeed","UnreadMsgNum":1,"CallbackCommand":"Bot.OnGroupMessage","CallbackCommand":"Group.CallbackAfterSendMsg",` +
		`"GroupId":"@TGS#","Type":"Public","From_Account":"","Operator_Account":"","Random":,"MsgSeq":,"MsgTime":17,"OnlineOnlyFlag":0,` +
		`"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"@@RBT#"}}],"AtRobots_Account":["@RBT#"],"CloudCustomData":"","EventTime":17` +
		`{"v":1,"id":"evt_","provider":"direct","label":"","provider":"smartbots","type":"group_chat","provider":"tencent-chat","type":"Group.CallbackAfterSendMsg",` +
		`"type":"Bot.OnGroupMessage","received":"2026-11-22T09:00:00.000Z","time":"2026-11-22T09:00:00Z","keys":{"app":["","bot":["@RBT#"],"channel":["SMS"],` +
		`"message":["status":["delivered"]},"from":[""],"group":["@TGS#"]},"content_type":"application/x-www-form-urlencoded","content_type":"application/json",` +
		`"query":"SdkAppid=14000&CallbackCommand=Bot.OnGroupMessage&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=&OptPlatform=RESTAPI` +
		`&OptPlatform=Android&OptPlatform=iOS","token":"","run":"","lease":"2026-11-22T09:00:00.000Z","match":["reg_"]}`
)
